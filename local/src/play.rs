//! Posts one payload, signed, and finds out what became of it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

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

use crate::journal::{Entry, Journal, Mark};
use crate::services::APP_SECRET;
use crate::stack::Stack;

/// How long a message may take from the queue, or from the outcome of the one before it, to its own: two look-ups,
/// a send and an insert that run into their timeouts, and some.
const OUTCOME_PATIENCE: Duration = Duration::from_secs(40);
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
    /// What was not answered or not recorded, and why.
    pub ignored: Vec<Ignored>,
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
}

/// Something that was not handled to the end.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Ignored {
    /// What it is: a message by its wamid, or another update by its name.
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
    /// Posts `body` as Meta would and waits until every message in it has been handled.
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
        let (updates, mut ignored) = expected(body);
        for id in phone_number_ids(&updates) {
            self.services.graph.allow_number(id);
        }
        let entries = QueueEntry::all(&updates.messages, std::time::SystemTime::now().into())?;
        let posted = entries.len();

        let since = self.journal.mark();
        let received_before = self.services.graph.received().len();
        let status = self.post(body).await?;
        if status != 200 {
            return Ok(Played { status, ignored, since, ..Played::default() });
        }
        let mut own = HashSet::new();
        let mut story = Story::default();
        for entry in entries {
            let wamid = entry.wamid.unwrap_or_default();
            let identity = (entry.message_group_id, entry.deduplication_id);
            let why = if sent.holds(&identity) {
                "a duplicate of an earlier payload: the queue keeps one"
            } else if own.insert(identity) {
                story.expect(wamid);
                continue;
            } else {
                "a duplicate in the same payload: the queue keeps one"
            };
            ignored.push(Ignored { what: named(&wamid), why: why.to_owned() });
        }
        let now = Instant::now();
        sent.0.extend(own.into_iter().map(|identity| (identity, now)));

        let mut mark = since;
        story.follow(&self.journal, &mut mark, LOG_PATIENCE, |story| story.accounted_for >= posted).await;
        story.follow(&self.journal, &mut mark, OUTCOME_PATIENCE, |story| story.missing == 0).await;
        ignored.extend(story.unanswered());

        let received = self.services.graph.received().split_off(received_before);
        let echoes = received.into_iter().map(|received| Echo {
            to: received.to.or(received.recipient).unwrap_or_default(),
            body: received.body,
            quotes: received.quotes,
        });
        let (echoes, rows) = (echoes.collect(), self.rows(&story).await?);
        let incomplete = story.missing > 0 || story.accounted_for < posted;
        Ok(Played { status, queued: story.queued, echoes, rows, ignored, incomplete, since })
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

    /// The rows of the story's messages, in the order of the conversation.
    async fn rows(&self, story: &Story) -> anyhow::Result<Vec<Row>> {
        let ids: Vec<Uuid> = story
            .wamids
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

/// What the functions' log says of a payload's messages. Those without an id share the empty wamid.
#[derive(Default)]
struct Story {
    /// Every wamid, in the payload's order.
    wamids: Vec<String>,
    messages: HashMap<String, Messages>,
    /// How many outcomes are still to come.
    missing: usize,
    /// How many messages webhook has queued.
    queued: usize,
    /// How many it has queued or left out.
    accounted_for: usize,
}

/// The messages of one wamid: one, unless it is the empty one or two senders' messages have the same.
#[derive(Default)]
struct Messages {
    count: usize,
    outcomes: Vec<Entry>,
    unrecorded: Option<String>,
}

impl Story {
    fn expect(&mut self, wamid: String) {
        let messages = self.messages.entry(wamid.clone()).or_default();
        if messages.count == 0 {
            self.wamids.push(wamid);
        }
        messages.count += 1;
        self.missing += 1;
    }

    /// Reads on from `mark` until it is `enough`, or nothing about the messages has come for as long as `patience`.
    async fn follow(
        &mut self,
        journal: &Journal,
        mark: &mut Mark,
        patience: Duration,
        enough: impl Fn(&Self) -> bool,
    ) {
        let mut progress = tokio::time::Instant::now();
        while !enough(self) {
            let Ok(logged) = tokio::time::timeout_at(progress + patience, journal.next(mark)).await else {
                return;
            };
            for entry in logged {
                if self.read(entry) {
                    progress = tokio::time::Instant::now();
                }
            }
        }
    }

    /// Whether the line says something about the messages.
    fn read(&mut self, entry: Entry) -> bool {
        let counter = entry.field("counter");
        if &*entry.function == "webhook" {
            let (queued, left_out) = (counter == "accepted_messages", counter == "oversized_messages");
            self.queued += usize::from(queued);
            self.accounted_for += usize::from(queued || left_out);
            if !left_out {
                return queued;
            }
        }
        let Some(messages) = self.messages.get_mut(entry.field("wamid")) else { return false };
        if counter == "unrecorded_messages" {
            messages.unrecorded = Some(entry.field("message").to_owned());
        }
        if counter != "oversized_messages" && entry.field("outcome").is_empty() {
            return false;
        }
        messages.outcomes.push(entry);
        if messages.outcomes.len() <= messages.count {
            self.missing -= 1;
        }
        true
    }

    /// The messages that have no answer or no rows, and why.
    fn unanswered(&self) -> Vec<Ignored> {
        let of_wamid = self.wamids.iter().filter_map(|wamid| Some((wamid, self.messages.get(wamid)?)));
        of_wamid
            .flat_map(|(wamid, messages)| {
                let without = messages.count.saturating_sub(messages.outcomes.len());
                // The last ones: an earlier one may have been tried again.
                let last = messages.outcomes.iter().rev().take(messages.count).rev();
                let why = last.filter_map(|outcome| messages.why(outcome));
                let unclear = std::iter::repeat_n("no outcome in time: see the log".to_owned(), without);
                why.chain(unclear).map(|why| Ignored { what: named(wamid), why })
            })
            .collect()
    }
}

impl Messages {
    /// Why a message with this outcome has no answer or no rows; nothing when it has both.
    fn why(&self, outcome: &Entry) -> Option<String> {
        match outcome.field("outcome") {
            "" => Some(outcome.field("message").to_owned()),
            "answered" => self.unrecorded.clone(),
            other => Some(format!("{}: {}", other.replace('_', " "), outcome.field("reason"))),
        }
    }
}

fn named(wamid: &str) -> String {
    if wamid.is_empty() { "a message without an id".to_owned() } else { format!("message {wamid}") }
}
