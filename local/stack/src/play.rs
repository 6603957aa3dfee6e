//! Posts one payload, signed, and finds out what became of it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use reply::delivery::Work;
use reply::history::row_id;
use reply::incoming::MessageEvent;
use reply::outcome::Outcome;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use shared::meta::lenient::Object;
use shared::supabase::rows::Role;
use uuid::Uuid;
use webhook::entry::Entry as QueueEntry;
use webhook::payload::{self, Update};
use webhook::readable::Readable;
use webhook::signature::{self, AppSecret};

use crate::journal::Mark;
use crate::services::APP_SECRET;
use crate::stack::Stack;
use crate::story::{Became, Expected, Story};

/// How long a message may take from the queue, or from the outcome of the one before it, to its own: two look-ups,
/// a send and an insert that run into their timeouts, and some.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(40);
/// How long a POST may take: longer than the gateway waits for a function.
const POST_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a line may take from a function to us, or from one line to the next.
const LOG_PATIENCE: Duration = Duration::from_secs(5);
/// How long a FIFO queue knows the id of a message.
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-exactly-once-processing.html>
const DEDUPLICATION_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What became of a payload.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Played {
    /// The gateway's HTTP status.
    pub status: u16,
    /// Messages that the queue accepted.
    pub queued: usize,
    /// What phones received.
    pub echoes: Vec<Echo>,
    /// Rows in the table `messages`.
    pub rows: Vec<Row>,
    /// What became of its statuses.
    pub statuses: Vec<Status>,
    /// What is kept in the table `account_events`.
    pub events: Vec<Event>,
    /// What was not answered or not recorded, and why.
    pub ignored: Vec<Ignored>,
    /// Every update, and what became of it.
    #[serde(skip)]
    pub updates: Vec<(String, Became)>,
    /// Whether something is missing that should have come: then the log says more.
    #[serde(skip)]
    pub incomplete: bool,
    /// Where the log of it begins.
    #[serde(skip)]
    pub since: Mark,
}

/// A message as a phone received it.
#[derive(Clone, Debug, Serialize)]
pub struct Echo {
    /// A phone number, or a business-scoped user id.
    pub to: String,
    /// Its text.
    pub body: Option<String>,
    /// The wamid of the message that it quotes.
    pub quotes: Option<String>,
}

/// A row of the table `messages`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `user` or `assistant`
    pub role: String,
    /// What was written.
    pub content: String,
    /// Whose history it belongs to.
    pub user_id: Uuid,
    /// Meta's type of it.
    #[serde(skip)]
    pub kind: Option<String>,
}

/// A status of a message that was sent.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The message's wamid.
    pub wamid: String,
    /// `sent`, `delivered`, …
    pub status: String,
    /// `applied` to a row, `applied_before`, or `stored` for a row that is not there.
    pub outcome: String,
}

/// Something that is kept for a person to look at.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// The webhook field, or what it is beside a field's messages.
    pub field: String,
    /// `stored`
    pub outcome: &'static str,
}

/// Something that was not handled to the end.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Ignored {
    /// What it is: a message by its type and wamid, another update by its name.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What was sent, as the queue tells messages apart, and when: a second one is a duplicate.
#[derive(Debug, Default)]
pub struct Sent(HashMap<Identity, Instant>);

/// The queue's message group and deduplication id.
type Identity = (String, String);

impl Sent {
    fn holds(&self, identity: &Identity) -> bool {
        self.0.get(identity).is_some_and(|sent| sent.elapsed() < DEDUPLICATION_INTERVAL)
    }
}

impl Stack {
    /// Posts `body` as Meta would and waits until every update in it has been handled.
    ///
    /// # Errors
    /// When the gateway or the database cannot be reached.
    pub async fn play(&self, body: &[u8]) -> anyhow::Result<Played> {
        self.play_next(body, &mut Sent::default()).await
    }

    /// Like [`Stack::play`], after other payloads: a message that is among `sent` is a duplicate, and nothing comes
    /// of it.
    ///
    /// # Errors
    /// When the gateway or the database cannot be reached.
    pub async fn play_next(&self, body: &[u8], sent: &mut Sent) -> anyhow::Result<Played> {
        let readable = Readable::of(body);
        let updates = payload::read(&readable);
        let mut ignored = Vec::new();
        if updates.is_empty() {
            let why = "the body is a webhook of another product".to_owned();
            ignored.push(Ignored { what: "the whole body".to_owned(), why });
        }
        for id in phone_number_ids(&updates) {
            self.services.graph.allow_number(id);
        }
        let entries = QueueEntry::all(&updates, std::time::SystemTime::now().into())?;
        let posted = entries.len();

        let since = self.journal.mark();
        let received_before = self.services.graph.received_count();
        let status = self.post(body).await?;
        if status != 200 {
            return Ok(Played { status, ignored, since, ..Played::default() });
        }
        let mut own = HashSet::new();
        let mut story = Story::default();
        for entry in entries {
            let expected = Expected::new(&entry);
            let identity = (entry.message_group_id, entry.deduplication_id);
            let why = if sent.holds(&identity) {
                "a duplicate of an earlier payload: the queue keeps one"
            } else if own.insert(identity) {
                story.expect(expected);
                continue;
            } else {
                "a duplicate in the same payload: the queue keeps one"
            };
            ignored.push(Ignored { what: expected.what, why: why.to_owned() });
        }
        let now = Instant::now();
        sent.0.extend(own.into_iter().map(|identity| (identity, now)));

        let mut mark = since;
        story.follow(&self.journal, &mut mark, LOG_PATIENCE, |story| story.queued >= posted).await;
        story.follow(&self.journal, &mut mark, OUTCOME_PATIENCE, |story| story.missing == 0).await;

        let received = self.services.graph.received_after(received_before);
        let echoes = received.into_iter().map(|received| Echo {
            to: received.to.or(received.recipient).unwrap_or_default(),
            body: received.body,
            quotes: received.quotes,
        });
        let mut played = Played {
            status,
            queued: story.queued_messages,
            echoes: echoes.collect(),
            rows: self.rows(&story).await?,
            ignored,
            incomplete: story.missing > 0 || story.queued < posted,
            since,
            ..Played::default()
        };
        for (expected, became) in story.told() {
            played.add(expected, became);
        }
        Ok(played)
    }

    /// Posts `body`, signed, and returns the gateway's status.
    ///
    /// # Errors
    /// When the gateway cannot be reached.
    pub async fn post(&self, body: &[u8]) -> anyhow::Result<u16> {
        post(&shared::http::client()?, &self.webhook_url(), body.to_vec()).await
    }

    /// Where Meta would post to.
    #[must_use]
    pub fn webhook_url(&self) -> String {
        format!("{}/webhook", self.url())
    }

    /// Where apps would read the history.
    #[must_use]
    pub fn messages_url(&self) -> String {
        format!("{}/messages", self.url())
    }

    /// The rows of the story's messages, in the order of the conversation.
    async fn rows(&self, story: &Story) -> anyhow::Result<Vec<Row>> {
        let keys = story.expected.iter().filter_map(Expected::message_key);
        let ids: Vec<Uuid> =
            keys.flat_map(|key| [Role::User, Role::Assistant].map(|role| row_id(key, &role))).collect();
        let rows: Vec<(String, String, Uuid, Option<String>)> = sqlx::query_as(
            "select role, content, user_id, type from messages where id = any($1) order by created_at, id",
        )
        .bind(ids)
        .fetch_all(self.services.supabase.pool())
        .await?;
        let row = |(role, content, user_id, kind)| Row { role, content, user_id, kind };
        Ok(rows.into_iter().map(row).collect())
    }

    /// `GET /messages` as the owner of `token` sees it, all pages.
    ///
    /// # Errors
    /// When the gateway cannot be reached or an answer is an error.
    pub async fn history(&self, token: &str) -> anyhow::Result<Vec<Value>> {
        let client = shared::http::client()?;
        let (mut history, mut next) = (Vec::new(), Some("/messages".to_owned()));
        while let Some(path) = next {
            let request = client.get(format!("{}{path}", self.url())).bearer_auth(token);
            let response = request.send().await.context("the gateway does not answer")?;
            let status = response.status();
            let link = response.headers().get("link").and_then(|link| link.to_str().ok());
            let link = link.and_then(|link| link.strip_prefix('<')?.split_once('>'));
            next = link.map(|(path, _)| path.to_owned());
            anyhow::ensure!(status.is_success(), "GET /messages: {status}: {}", response.text().await?);
            history.extend(response.json::<Vec<Value>>().await?);
        }
        Ok(history)
    }
}

/// Posts `body`, signed, as Meta would, and returns the status.
///
/// # Errors
/// When nobody answers.
pub async fn post(client: &reqwest::Client, url: &str, body: Vec<u8>) -> anyhow::Result<u16> {
    let signature = AppSecret::new(&SecretString::from(APP_SECRET)).sign(&body);
    let response = client
        .post(url)
        .header("content-type", "application/json")
        .header("user-agent", "facebookexternalua")
        .header(signature::HEADER, signature)
        .body(body)
        .timeout(POST_TIMEOUT)
        .send()
        .await
        .context("the gateway does not answer")?;
    Ok(response.status().as_u16())
}

impl Played {
    /// Adds what became of an update to the list where it belongs.
    fn add(&mut self, expected: Expected, became: Became) {
        let Expected { what, work, .. } = expected;
        let Became { outcome, reason } = &became;
        let event = |field: &str| Event { field: field.to_owned(), outcome: "stored" };
        match (Outcome::from_name(outcome), &work) {
            (Some(Outcome::Answered | Outcome::Recorded), _) => {}
            (
                Some(Outcome::Applied | Outcome::AppliedBefore | Outcome::Stored),
                Some(Work::Status(status)),
            ) => {
                let (wamid, status) = (status.wamid.as_str().to_owned(), status.name.clone());
                self.statuses.push(Status { wamid, status, outcome: outcome.clone() });
            }
            (
                Some(Outcome::EventStored),
                Some(Work::Event(kept) | Work::MessageEvent(MessageEvent { event: kept, .. })),
            ) => {
                self.events.push(event(&kept.name));
            }
            (None, _) if outcome.is_empty() => {
                self.ignored.push(Ignored { what: what.clone(), why: reason.clone() })
            }
            _ => {
                let why = format!("{}: {reason}", outcome.replace('_', " "));
                self.ignored.push(Ignored { what: what.clone(), why });
            }
        }
        self.updates.push((what, became));
    }
}

/// The business numbers that the payload is for: its owner may send from them.
fn phone_number_ids(updates: &[Update<'_>]) -> HashSet<String> {
    updates.iter().filter_map(|update| Object::of(update.metadata).string("phone_number_id")).collect()
}
