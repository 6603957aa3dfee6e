//! Follows the services: logs, Graph API, queues and database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use local_graph::GraphEvent;
use local_supabase::{USER_A, USER_B};
use reply::history::row_id;
use shared::lambda::logging::ShortWamid;
use shared::meta::sender::{PhoneNumber, UserId};
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
use crate::live::{Changed, Hub, Model};
use crate::meta::Meta;
use crate::phones::{Linked, User};
use crate::pipeline::Row;
use crate::posts::{Post, milliseconds};
use crate::queues::Places;
use local_stack::logs::Entry;
use local_stack::services::Services;

/// The timeout of a query, shorter than that of a connection to a stopped database.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause between two snapshots of the queues, and of the database, which combines changes.
const QUEUE_PAUSE: Duration = Duration::from_millis(25);
const DATABASE_PAUSE: Duration = Duration::from_millis(100);
/// The polling interval while messages are unfinished.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// The maximum number of messages in one query for rows.
const ROWS_AT_ONCE: usize = 500;

/// Follows the functions' logs. The counters depend on every line.
pub(crate) async fn logs(mut lines: UnboundedReceiver<Entry>, hub: Arc<Hub>) {
    while let Some(entry) = lines.recv().await {
        hub.change(|model| model.logged(&entry));
        hub.survey_soon();
    }
}

/// Follows the Graph API, and posts the statuses of the messages that it accepted.
pub(crate) async fn graph(mut receiver: Receiver<GraphEvent>, hub: Arc<Hub>, meta: Meta) {
    loop {
        match receiver.recv().await {
            Ok(event) => {
                let phone = hub.change(|model| model.graph_called(&event));
                if let (GraphEvent::Accepted(received), Some(phone)) = (&event, phone) {
                    meta.report(&phone, received);
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

/// Follows the emulator's queues.
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

/// Updates rows and counters.
pub(crate) async fn survey(services: Arc<Services>, hub: Arc<Hub>) {
    loop {
        // In this order: a message moves from the first source to the last, and must not be missed in between.
        let accepted = hub.look(|model| model.ledger.accepted());
        let places = services.queues.server.as_ref().map(Places::look);
        let (unfinished, stale) = hub.look(|model| {
            let stale = model.stale.iter().take(ROWS_AT_ONCE).cloned().collect::<Vec<_>>();
            (model.ledger.unfinished(places.as_ref()), stale)
        });
        let wamids: Vec<&str> = unfinished.iter().map(|(wamid, _)| wamid.as_str()).collect();
        let pool = services.supabase.pool();
        let queries = async { tokio::try_join!(query(pool, &wamids, &stale), links(pool)) };
        let answer = timeout(DATABASE_TIMEOUT, queries).await.ok().and_then(Result::ok);
        let is_settled = hub.change(|model| {
            let recorded = answer.map(|((mut recorded, rows), links)| {
                recorded.rows = recorded.rows.saturating_sub(services.supabase.rows_before());
                model.rows_found(&stale, rows);
                for phone in model.phones.link(&links) {
                    model.mark(Changed::Phone(phone));
                }
                recorded
            });
            let counters = model.ledger.count(accepted, &unfinished, recorded.as_ref());
            if counters != model.counters {
                model.counters = counters;
                model.mark(Changed::Counters);
            }
            counters.known && counters.waiting == 0 && counters.difference == 0 && model.stale.is_empty()
        });
        sleep(DATABASE_PAUSE).await;
        if is_settled {
            hub.survey_is_due().await;
        } else {
            let _ = timeout(POLL_EVERY, hub.survey_is_due()).await;
        }
    }
}

/// Queries the number of users' messages in the database, those of the short `wamids` among them, and the rows of
/// `stale` and their replies.
async fn query(
    pool: &PgPool,
    wamids: &[&str],
    stale: &[String],
) -> sqlx::Result<(Recorded, HashMap<Uuid, Row>)> {
    // 16 characters: the length of a `ShortWamid`.
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

/// Queries the links of the page's users.
async fn links(pool: &PgPool) -> sqlx::Result<Vec<Linked>> {
    let rows: Vec<(Uuid, Option<String>, Option<String>)> = sqlx::query_as(
        "select user_id, whatsapp_phone, whatsapp_user_id from user_preferences where user_id in ($1, $2)",
    )
    .bind(USER_A)
    .bind(USER_B)
    .fetch_all(pool)
    .await?;
    let linked = |(id, number, user_id): (Uuid, Option<String>, Option<String>)| Linked {
        user: if id == USER_A { User::A } else { User::B },
        number: number.and_then(|number| PhoneNumber::parse(&number)),
        user_id: user_id.and_then(|user_id| UserId::parse(&user_id)),
    };
    Ok(rows.into_iter().map(linked).collect())
}

impl Model {
    /// Adds the messages of a POST to the webhook.
    pub(crate) fn post_arrived(&mut self, post: &Post) {
        for posted in &post.messages {
            let sender = posted.sender.as_ref().filter(|_| post.is_signed());
            let phone = sender.and_then(|sender| self.phones.find_or_add(sender, posted.name.as_deref()));
            let phone = phone.map(|(phone, is_new)| {
                if is_new {
                    self.mark(Changed::Phone(phone.id.clone()));
                }
                phone.id
            });
            let order = self.next_order();
            self.pipeline.add(&posted.wamid, phone.as_deref(), &posted.kind, &posted.text, order);
            self.mark(Changed::Message(posted.wamid.clone()));
            if let Some(phone) = phone
                && let Some(bubble) = self.chats.add_sent(posted, &phone, order)
            {
                self.mark(Changed::Chat(bubble));
            }
        }
    }

    /// Applies the webhook's response.
    pub(crate) fn post_answered(&mut self, post: &Post, status: u16, took: Duration) {
        for posted in &post.messages {
            let ms = milliseconds(took);
            self.pipeline.change(&posted.wamid, |message| message.posted(status, ms, post.signature));
            self.mark(Changed::Message(posted.wamid.clone()));
            if status == 200 {
                self.tick(&posted.wamid, Ticks::Sent, None);
            }
        }
        for status_update in post.statuses.iter().filter(|_| status == 200) {
            if let Some(ticks) = Ticks::of_status(&status_update.name) {
                self.tick(&status_update.wamid, ticks, status_update.error.as_deref());
            }
            if let Some(wamid) = self.pipeline.resolve(&status_update.wamid).map(str::to_owned) {
                self.pipeline.change(&wamid, |message| message.status(&status_update.name));
                self.mark(Changed::Message(wamid));
            }
        }
    }

    /// Applies a call of the Graph API. The recipient's phone, if it is on the page.
    fn graph_called(&mut self, event: &GraphEvent) -> Option<crate::phones::Phone> {
        match event {
            GraphEvent::Accepted(received) => {
                if let Some(quoted) = &received.quotes {
                    self.ledger.answered(quoted);
                    self.pipeline.add_reply(quoted, &received.id);
                }
                let phone = self.phones.at(compose::recipient(received))?.clone();
                let order = self.next_order();
                if let Some(bubble) = self.chats.add_received(received, &phone.id, order) {
                    self.mark(Changed::Chat(bubble));
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
                if self.pipeline.change(id, |message| message.called(call)) {
                    self.mark(Changed::Message(id.to_owned()));
                }
                None
            }
        }
    }

    /// Applies a snapshot of the queues.
    fn placed(&mut self, places: &Places) {
        for turn in &places.turns {
            let last = turn.last().map(|last| ShortWamid::of(last).to_string());
            self.turns.extend(last.map(|last| (last, turn.clone())));
        }
        for wamid in self.pipeline.wamids() {
            let (place, dead) = places.of(&wamid);
            let mut is_new = false;
            self.pipeline.change(&wamid, |message| is_new = message.placed(place, dead));
            if is_new {
                self.stale.insert(wamid.clone());
                self.mark(Changed::Message(wamid));
            }
        }
    }

    /// Applies the rows that were found for the messages `wamids`.
    fn rows_found(&mut self, wamids: &[String], mut found: HashMap<Uuid, Row>) {
        for wamid in wamids {
            let rows: Vec<Row> = [Role::User, Role::Assistant]
                .iter()
                .filter_map(|role| found.remove(&row_id(&wamid.as_str().into(), role)))
                .collect();
            let (mut is_new, mut lacks_rows) = (false, false);
            self.pipeline.change(wamid, |message| {
                is_new = message.rows(rows);
                lacks_rows = message.lacks_rows();
            });
            if is_new {
                self.mark(Changed::Message(wamid.clone()));
            }
            if !lacks_rows {
                self.stale.remove(wamid);
            }
        }
    }

    fn tick(&mut self, id: &str, ticks: Ticks, error: Option<&str>) {
        if self.chats.tick(id, ticks, error) {
            self.mark(Changed::Chat(id.to_owned()));
        }
    }
}
