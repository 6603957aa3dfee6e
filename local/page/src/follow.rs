//! Following what the services do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use local_graph::GraphEvent;
use reply::history::row_id;
use shared::supabase::rows::Role;
use sqlx::PgPool;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::chat::Ticks;
use crate::compose;
use crate::counters::Recorded;
use crate::journey::Row;
use crate::live::{Changed, Hub, Model};
use crate::meta::Meta;
use crate::posts::{Post, milliseconds};
use crate::queues::Places;
use local_stack::journal::Entry;
use local_stack::services::Services;

/// How long the database may take to be asked; one that is away would take longer.
const DATABASE_PATIENCE: Duration = Duration::from_secs(2);
/// A pause between two looks at the queues, and at the database: many changes are one picture.
const QUEUE_PAUSE: Duration = Duration::from_millis(25);
const DATABASE_PAUSE: Duration = Duration::from_millis(100);
/// When something is still to come, the database is asked again without being told to.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Messages whose rows are asked for at the same time.
const ROWS_AT_ONCE: usize = 500;

/// Follows the functions' logs. No line may be missed: the counters rest on them.
pub(crate) async fn journal(mut lines: UnboundedReceiver<Entry>, hub: Arc<Hub>) {
    while let Some(entry) = lines.recv().await {
        hub.change(|model| model.logged(&entry));
        hub.survey_soon();
    }
}

/// Follows what the business sends, and has Meta say what became of it.
pub(crate) async fn graph(mut receiver: Receiver<GraphEvent>, hub: Arc<Hub>, meta: Meta) {
    loop {
        match receiver.recv().await {
            Ok(happened) => {
                let phone = hub.change(|model| model.graph_happened(&happened));
                if let (GraphEvent::Accepted(received), Some(phone)) = (&happened, phone) {
                    meta.report(&phone, &received.id);
                }
                hub.survey_soon();
            }
            Err(RecvError::Lagged(lost)) => {
                tracing::warn!(lost, "the page has missed calls of the Graph API")
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Follows our own queues.
pub(crate) async fn queues(services: Arc<Services>, hub: Arc<Hub>) {
    let Some(server) = &services.queues.server else { return };
    let mut changes = server.changes();
    while changes.changed().await.is_ok() {
        let places = Places::look(server);
        hub.change(|model| model.placed(&places));
        hub.survey_soon();
        sleep(QUEUE_PAUSE).await;
    }
}

/// Keeps rows and counters up to date.
pub(crate) async fn survey(services: Arc<Services>, hub: Arc<Hub>) {
    loop {
        // In this order: a message goes from the first to the last, and must not be missed between two.
        let accepted = hub.look(|model| model.ledger.accepted());
        let places = services.queues.server.as_ref().map(Places::look);
        let (unfinished, stale) = hub.look(|model| {
            let stale = model.stale.iter().take(ROWS_AT_ONCE).cloned().collect::<Vec<_>>();
            (model.ledger.unfinished(places.as_ref()), stale)
        });
        let wamids: Vec<&str> = unfinished.iter().map(|(wamid, _)| wamid.as_str()).collect();
        let asked = ask(services.supabase.pool(), &wamids, &stale);
        let answer = timeout(DATABASE_PATIENCE, asked).await.ok().and_then(Result::ok);
        let is_settled = hub.change(|model| {
            let (mut recorded, rows) = answer.unzip();
            if let Some(recorded) = &mut recorded {
                recorded.rows = recorded.rows.saturating_sub(services.supabase.rows_before());
            }
            if let Some(rows) = rows {
                model.rows_found(&stale, rows);
            }
            let counters = model.ledger.count(accepted, &unfinished, recorded.as_ref());
            if counters != model.counters {
                model.counters = counters;
                model.tell(Changed::Counters);
            }
            counters.known && counters.waiting == 0 && counters.difference == 0 && model.stale.is_empty()
        });
        sleep(DATABASE_PAUSE).await;
        if is_settled {
            hub.survey_is_due().await;
        } else {
            let _ = timeout(ASK_AGAIN, hub.survey_is_due()).await;
        }
    }
}

/// How many people's messages are in the database, which of `wamids`, which are shortened, and the rows of `stale` and
/// their answers.
async fn ask(
    pool: &PgPool,
    wamids: &[&str],
    stale: &[String],
) -> sqlx::Result<(Recorded, HashMap<Uuid, Row>)> {
    // The end of a wamid is as long as `ShortWamid` has it.
    let (rows, present): (i64, Vec<String>) = sqlx::query_as(
        "select count(*), coalesce(array_agg(right(wamids[1], 16)) filter (where right(wamids[1], 16) = any($1)), '{}')
           from messages where role = 'user' and wamids is not null",
    )
    .bind(wamids)
    .fetch_one(pool)
    .await?;
    let recorded =
        Recorded { rows: usize::try_from(rows).unwrap_or_default(), present: present.into_iter().collect() };
    let both =
        |wamid: &String| [Role::User, Role::Assistant].map(|role| row_id(&wamid.as_str().into(), &role));
    let ids: Vec<Uuid> = stale.iter().flat_map(both).collect();
    let rows: Vec<(Uuid, String, String, Option<String>)> =
        sqlx::query_as("select id, role, content, status from messages where id = any($1)")
            .bind(ids)
            .fetch_all(pool)
            .await?;
    let row = |(id, role, content, status)| (id, Row { role, content, status });
    Ok((recorded, rows.into_iter().map(row).collect()))
}

impl Model {
    /// Somebody posts to the webhook.
    pub(crate) fn post_arrived(&mut self, post: &Post) {
        for posted in &post.messages {
            let sender = posted.sender.as_ref().filter(|_| post.is_signed());
            let phone = sender.and_then(|sender| self.phones.of_stranger(sender, posted.name.as_deref()));
            let phone = phone.map(|(phone, is_new)| {
                if is_new {
                    self.tell(Changed::Phone(phone.id.clone()));
                }
                phone.id
            });
            let order = self.next_order();
            self.journeys.begin(&posted.wamid, phone.as_deref(), &posted.kind, &posted.text, order);
            self.tell(Changed::Journey(posted.wamid.clone()));
            if let Some(phone) = phone
                && let Some(bubble) = self.chats.person_wrote(posted, &phone, order)
            {
                self.tell(Changed::Chat(bubble));
            }
        }
    }

    /// The webhook has answered.
    pub(crate) fn post_answered(&mut self, post: &Post, status: u16, took: Duration) {
        for posted in &post.messages {
            let ms = milliseconds(took);
            self.journeys.change(&posted.wamid, |journey| journey.posted(status, ms, post.signature));
            self.tell(Changed::Journey(posted.wamid.clone()));
            if status == 200 {
                self.tick(&posted.wamid, Ticks::Sent, None);
            }
        }
        for said in post.statuses.iter().filter(|_| status == 200) {
            if let Some(ticks) = Ticks::of_status(&said.name) {
                self.tick(&said.wamid, ticks, said.error.as_deref());
            }
            if let Some(wamid) = self.journeys.named(&said.wamid).map(str::to_owned) {
                self.journeys.change(&wamid, |journey| journey.status(&said.name));
                self.tell(Changed::Journey(wamid));
            }
        }
    }

    /// The Graph API was called. The phone that a message goes to, if it is one of those here.
    fn graph_happened(&mut self, happened: &GraphEvent) -> Option<crate::phones::Phone> {
        match happened {
            GraphEvent::Accepted(received) => {
                if let Some(quoted) = &received.quotes {
                    self.ledger.answered(quoted);
                    self.journeys.answered_by(quoted, &received.id);
                }
                let phone = self.phones.at(compose::recipient(received))?.clone();
                let order = self.next_order();
                if let Some(bubble) = self.chats.business_wrote(received, &phone.id, order) {
                    self.tell(Changed::Chat(bubble));
                }
                Some(phone)
            }
            GraphEvent::Read(receipt) => {
                self.tick(&receipt.message_id, Ticks::Read, None);
                None
            }
            GraphEvent::Called(call) => {
                let id = ["/context/message_id", "/message_id"].into_iter();
                let id = id.filter_map(|pointer| call.request.pointer(pointer)?.as_str()).next()?;
                if self.journeys.change(id, |journey| journey.called(call)) {
                    self.tell(Changed::Journey(id.to_owned()));
                }
                None
            }
        }
    }

    /// The queues have changed.
    fn placed(&mut self, places: &Places) {
        for wamid in self.journeys.wamids() {
            let (place, dead) = places.of(&wamid);
            let mut is_new = false;
            self.journeys.change(&wamid, |journey| is_new = journey.placed(place, dead));
            if is_new {
                self.stale.insert(wamid.clone());
                self.tell(Changed::Journey(wamid));
            }
        }
    }

    /// The database was asked for the rows of `asked`.
    fn rows_found(&mut self, asked: &[String], mut found: HashMap<Uuid, Row>) {
        for wamid in asked {
            let rows: Vec<Row> = [Role::User, Role::Assistant]
                .iter()
                .filter_map(|role| found.remove(&row_id(&wamid.as_str().into(), role)))
                .collect();
            let (mut is_new, mut lacks_rows) = (false, false);
            self.journeys.change(wamid, |journey| {
                is_new = journey.rows(rows);
                lacks_rows = journey.lacks_rows();
            });
            if is_new {
                self.tell(Changed::Journey(wamid.clone()));
            }
            if !lacks_rows {
                self.stale.remove(wamid);
            }
        }
    }

    fn tick(&mut self, id: &str, ticks: Ticks, error: Option<&str>) {
        if self.chats.tick(id, ticks, error) {
            self.tell(Changed::Chat(id.to_owned()));
        }
    }
}
