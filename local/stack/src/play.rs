//! Posts one payload, signed, and determines its outcome.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::Context;
use local_graph::Button;
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

use crate::logs::Mark;
use crate::outcomes::{Expected, Outcomes, UpdateOutcome};
use crate::services::APP_SECRET;
use crate::stack::Stack;

/// How long a message may take from the queue, or from the outcome of the one before it, to its own: two lookups,
/// a language model, a send and an insert that run into their timeouts, and a reserve.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(85);
/// How long a POST may take: longer than the gateway waits for a function.
const POST_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a line may take from a function to this program, or from one line to the next.
const LOG_PATIENCE: Duration = Duration::from_secs(5);
/// The deduplication interval of a FIFO queue.
/// Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-exactly-once-processing.html>
const DEDUPLICATION_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// The outcome of a payload.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Played {
    /// The gateway's HTTP status.
    pub status: u16,
    /// Messages that the queue accepted.
    pub queued: usize,
    /// The replies that phones received.
    pub echoes: Vec<Reply>,
    /// Rows in the table `messages`.
    pub rows: Vec<Row>,
    /// The outcomes of its statuses.
    pub statuses: Vec<Status>,
    /// Its events, stored in the table `account_events`.
    pub events: Vec<Event>,
    /// Updates that were not answered or not stored, with the reasons.
    pub ignored: Vec<Ignored>,
    /// Every update with its outcome.
    #[serde(skip)]
    pub updates: Vec<(String, UpdateOutcome)>,
    /// Whether an expected outcome is missing: then the logs have the details.
    #[serde(skip)]
    pub incomplete: bool,
    /// The position in the logs at which the payload was posted.
    #[serde(skip)]
    pub since: Mark,
}

/// A reply as a phone received it.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// A phone number, or a business-scoped user id.
    pub to: String,
    /// Its text.
    pub body: Option<String>,
    /// Its reply buttons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Button>,
    /// The wamid of the quoted message.
    pub quotes: Option<String>,
    /// Its wamid.
    #[serde(skip)]
    pub wamid: String,
}

/// A row of the table `messages`.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// `user` or `assistant`
    pub role: String,
    /// The message's text.
    pub content: String,
    /// The user of the history.
    pub user_id: Uuid,
    /// Meta's message type.
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
    /// `applied` to a row, `applied_before`, or `stored` without a row.
    pub outcome: String,
}

/// An event that is stored for inspection.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// The webhook field, or the name of the part beside a field's messages.
    pub field: String,
    /// `stored`
    pub outcome: &'static str,
}

/// An update that was not processed completely.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Ignored {
    /// The update: a message by its type and wamid, another update by its name.
    pub what: String,
    /// The reason.
    pub why: String,
}

/// The queue's identities of the messages sent so far, with the time: a second message of one identity is a duplicate.
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

    /// Like [`Stack::play`], after other payloads: a message that is among `sent` is a duplicate and is
    /// ignored.
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

        let since = self.logs.mark();
        let received_before = self.services.graph.received_count();
        let status = self.post(body).await?;
        if status != 200 {
            return Ok(Played { status, ignored, since, ..Played::default() });
        }
        let mut own = HashSet::new();
        let mut outcomes = Outcomes::default();
        for entry in entries {
            let expected = Expected::new(&entry);
            let identity = (entry.message_group_id, entry.deduplication_id);
            let why = if sent.holds(&identity) {
                "a duplicate of an earlier payload: the queue accepts only one"
            } else if own.insert(identity) {
                outcomes.expect(expected);
                continue;
            } else {
                "a duplicate in the same payload: the queue accepts only one"
            };
            ignored.push(Ignored { what: expected.what, why: why.to_owned() });
        }
        let now = Instant::now();
        sent.0.extend(own.into_iter().map(|identity| (identity, now)));

        let mut mark = since;
        outcomes.collect(&self.logs, &mut mark, LOG_PATIENCE, |outcomes| outcomes.queued >= posted).await;
        outcomes.collect(&self.logs, &mut mark, OUTCOME_PATIENCE, |outcomes| outcomes.missing == 0).await;

        let received = self.services.graph.received_after(received_before);
        let replies = received.into_iter().map(|received| Reply {
            to: received.to.or(received.recipient).unwrap_or_default(),
            body: received.body,
            buttons: received.buttons,
            wamid: received.id,
            quotes: received.quotes,
        });
        let mut played = Played {
            status,
            queued: outcomes.queued_messages,
            echoes: replies.collect(),
            rows: self.rows(&outcomes).await?,
            ignored,
            incomplete: outcomes.missing > 0 || outcomes.queued < posted,
            since,
            ..Played::default()
        };
        for (expected, outcome) in outcomes.into_pairs() {
            played.add(expected, outcome);
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

    /// Returns the webhook's URL, to which Meta would post.
    #[must_use]
    pub fn webhook_url(&self) -> String {
        format!("{}/webhook", self.url())
    }

    /// Returns the URL from which apps would read the history.
    #[must_use]
    pub fn messages_url(&self) -> String {
        format!("{}/messages", self.url())
    }

    /// Returns the rows of the payload's messages, in the order of the conversation.
    async fn rows(&self, outcomes: &Outcomes) -> anyhow::Result<Vec<Row>> {
        let keys = outcomes.expected.iter().filter_map(Expected::message_key);
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

    /// Returns all pages of `GET /messages` for the owner of `token`.
    ///
    /// # Errors
    /// When the gateway cannot be reached or a response is an error.
    pub async fn history(&self, token: &str) -> anyhow::Result<Vec<Value>> {
        let client = shared::http::client()?;
        let (mut history, mut next) = (Vec::new(), Some("/messages".to_owned()));
        while let Some(path) = next {
            let request = client.get(format!("{}{path}", self.url())).bearer_auth(token);
            let response = request.send().await.context("the gateway does not respond")?;
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
/// When there is no response.
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
        .context("the gateway does not respond")?;
    Ok(response.status().as_u16())
}

impl Played {
    /// Adds the outcome of an update to the list for its kind.
    fn add(&mut self, expected: Expected, update: UpdateOutcome) {
        let Expected { what, work, .. } = expected;
        let UpdateOutcome { outcome, reason } = &update;
        let event = |field: &str| Event { field: field.to_owned(), outcome: "stored" };
        match (Outcome::from_name(outcome), &work) {
            (
                Some(
                    Outcome::Answered
                    | Outcome::Recorded
                    | Outcome::LinkAsked
                    | Outcome::Linked
                    | Outcome::LinkDiscarded,
                ),
                _,
            ) => {}
            (
                Some(Outcome::Applied | Outcome::AppliedBefore | Outcome::Stored),
                Some(Work::Status(status)),
            ) => {
                let (wamid, status) = (status.wamid.as_str().to_owned(), status.name.clone());
                self.statuses.push(Status { wamid, status, outcome: outcome.clone() });
            }
            (
                Some(Outcome::EventStored),
                Some(Work::Event(stored) | Work::MessageEvent(MessageEvent { event: stored, .. })),
            ) => {
                self.events.push(event(&stored.name));
            }
            (None, _) if outcome.is_empty() => {
                self.ignored.push(Ignored { what: what.clone(), why: reason.clone() })
            }
            _ => {
                let why = format!("{}: {reason}", outcome.replace('_', " "));
                self.ignored.push(Ignored { what: what.clone(), why });
            }
        }
        self.updates.push((what, update));
    }
}

/// The phone number ids of the payload, from which replies may be sent.
fn phone_number_ids(updates: &[Update<'_>]) -> HashSet<String> {
    updates.iter().filter_map(|update| Object::of(update.metadata).string("phone_number_id")).collect()
}
