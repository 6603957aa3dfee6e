//! Posts one payload, signed, and finds out what became of it.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context;
use reply::history::row_id;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::lenient;
use shared::message::Role;
use uuid::Uuid;
use webhook::entry::Entry as QueueEntry;
use webhook::payload::{self, Updates};
use webhook::signature::{self, AppSecret};

use crate::journal::Entry;
use crate::services::APP_SECRET;
use crate::stack::Stack;

/// How long a message may take from the queue to its outcome: two look-ups, a send and an insert that run
/// into their timeouts, and some.
const OUTCOME_DEADLINE: Duration = Duration::from_secs(40);
/// How long a line may take from a function to us.
const LOG_DEADLINE: Duration = Duration::from_secs(5);

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
    /// What was not answered or not recorded, and why.
    pub ignored: Vec<Ignored>,
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
}

/// Something that was not handled to the end.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Ignored {
    /// What it is: a message by its wamid, or another update by its name.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Stack {
    /// Posts `body` as Meta would and waits until every message in it has been handled.
    ///
    /// # Errors
    /// When the gateway or the database cannot be reached.
    pub async fn play(&self, body: &[u8]) -> anyhow::Result<Played> {
        let (updates, mut ignored) = expected(body);
        for id in phone_number_ids(&updates) {
            self.services.graph.allow_number(id);
        }
        let entries = QueueEntry::all(&updates.messages, std::time::SystemTime::now().into())?;
        let wamids: Vec<String> = entries.into_iter().map(|entry| entry.wamid.unwrap_or_default()).collect();

        let mark = self.journal.mark();
        let received_before = self.services.graph.received().len();
        let status = self.post(body).await?;
        if status != 200 {
            return Ok(Played { status, ignored, ..Played::default() });
        }
        let accepted = |entries: &[Entry]| entries.iter().filter(|entry| is_queued(entry)).count();
        let logged = self.journal.wait(mark, LOG_DEADLINE, |entries| accepted(entries) >= wamids.len()).await;
        let queued = accepted(&logged);

        let mut seen = HashSet::new();
        let (first, again): (Vec<_>, Vec<_>) = wamids.iter().partition(|wamid| seen.insert(wamid.as_str()));
        let handled = |entries: &[Entry]| first.iter().all(|wamid| outcome(entries, wamid).is_some());
        let logged = self.journal.wait(mark, OUTCOME_DEADLINE, handled).await;
        ignored.extend(first.iter().filter_map(|wamid| unanswered(&logged, wamid)));
        let duplicate = "a duplicate in the same payload: the queue keeps one";
        ignored.extend(again.iter().map(|wamid| Ignored { what: named(wamid), why: duplicate.to_owned() }));

        let received = self.services.graph.received().split_off(received_before);
        let echoes = received.into_iter().map(|received| Echo {
            to: received.to.or(received.recipient).unwrap_or_default(),
            body: received.body,
            quotes: received.quotes,
        });
        let rows = self.rows(&first).await?;
        Ok(Played { status, queued, echoes: echoes.collect(), rows, ignored })
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

    /// The rows of these messages, in the order of the conversation.
    async fn rows(&self, wamids: &[&String]) -> anyhow::Result<Vec<Row>> {
        let ids: Vec<Uuid> = wamids
            .iter()
            .flat_map(|wamid| [Role::User, Role::Assistant].map(|role| row_id(wamid, &role)))
            .collect();
        let rows: Vec<(String, String, Uuid)> = sqlx::query_as(
            "select role, content, user_id from messages where id = any($1) order by created_at, id",
        )
        .bind(ids)
        .fetch_all(self.services.supabase.pool())
        .await?;
        Ok(rows.into_iter().map(|(role, content, user_id)| Row { role, content, user_id }).collect())
    }

    /// `GET /messages` as the owner of `token` sees it.
    ///
    /// # Errors
    /// When the gateway cannot be reached or the answer is an error.
    pub async fn history(&self, token: &str) -> anyhow::Result<Vec<Value>> {
        let response = shared::http::client()?
            .get(format!("{}/messages", self.url()))
            .bearer_auth(token)
            .send()
            .await
            .context("the gateway does not answer")?;
        let status = response.status();
        anyhow::ensure!(status.is_success(), "GET /messages: {status}: {}", response.text().await?);
        Ok(response.json().await?)
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
        .send()
        .await
        .context("the gateway does not answer")?;
    Ok(response.status().as_u16())
}

/// What the payload holds, read as webhook reads it, and what webhook will leave aside.
fn expected(body: &[u8]) -> (Updates<'_>, Vec<Ignored>) {
    match payload::read(body) {
        Ok(updates) => {
            let ignored = updates.ignored.iter();
            let ignored =
                ignored.map(|one| Ignored { what: one.what.clone(), why: one.why.to_owned() }).collect();
            (updates, ignored)
        }
        Err(error) => {
            let ignored = Ignored { what: "the whole body".to_owned(), why: error.to_string() };
            (Updates::default(), vec![ignored])
        }
    }
}

/// The business numbers that the payload is for: its owner may send from them.
fn phone_number_ids(updates: &Updates<'_>) -> HashSet<String> {
    #[derive(Deserialize)]
    struct Metadata<'a> {
        #[serde(borrow, default)]
        phone_number_id: Option<&'a serde_json::value::RawValue>,
    }
    let metadata = updates.messages.iter().filter_map(|update| lenient::read::<Metadata>(update.metadata));
    metadata.filter_map(|metadata| lenient::filled_text(metadata.phone_number_id)).map(Into::into).collect()
}

fn is_queued(entry: &Entry) -> bool {
    &*entry.function == "webhook" && entry.field("counter") == "accepted_messages"
}

/// The last line that says what became of a message.
fn outcome<'e>(entries: &'e [Entry], wamid: &str) -> Option<&'e Entry> {
    let of_message = |entry: &&Entry| {
        &*entry.function == "reply" && !entry.field("outcome").is_empty() && entry.field("wamid") == wamid
    };
    entries.iter().rev().find(of_message)
}

/// Why a message has no answer or no rows; nothing when it has both.
fn unanswered(entries: &[Entry], wamid: &str) -> Option<Ignored> {
    let unrecorded =
        |entry: &&Entry| entry.field("counter") == "unrecorded_messages" && entry.field("wamid") == wamid;
    let why = match outcome(entries, wamid) {
        None => "no outcome in time: see the log".to_owned(),
        Some(entry) if entry.field("outcome") == "answered" => {
            entries.iter().find(unrecorded).map(|entry| entry.field("message").to_owned())?
        }
        Some(entry) => format!("{}: {}", entry.field("outcome").replace('_', " "), entry.field("reason")),
    };
    Some(Ignored { what: named(wamid), why })
}

fn named(wamid: &str) -> String {
    if wamid.is_empty() { "a message without an id".to_owned() } else { format!("message {wamid}") }
}
