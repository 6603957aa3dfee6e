//! Each message in the pipeline: its state at every stage.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use local_graph::Call;
use reply::outcome::Outcome;
use serde::Serialize;
use serde_json::Value;
use shared::lambda::logging::ShortWamid;

use crate::posts::milliseconds;
use crate::queues::{Dead, Place};
use crate::responder::ModelAnswer;

/// The maximum number of messages in memory.
const KEPT: usize = 1000;
/// The maximum number of Graph API calls of each message: the latest.
const CALLS: usize = 20;
/// The maximum length of a label's text, in characters.
const LABEL: usize = 60;
/// Outcomes without rows of the message's own.
const WITHOUT_ROWS: [Outcome; 9] = [
    Outcome::RegistrationSent,
    Outcome::LinkAsked,
    Outcome::Linked,
    Outcome::LinkDiscarded,
    Outcome::LinkRefused,
    Outcome::Ignored,
    Outcome::EventStored,
    Outcome::Dropped,
    Outcome::AnsweredBefore,
];

/// The webhook's responses.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Webhook {
    status: u16,
    ms: f64,
    signature: &'static str,
    posts: u32,
    /// Whether any post was accepted.
    #[serde(skip)]
    accepted: bool,
}

/// The attempts of `reply`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Reply {
    attempts: u32,
    outcome: Option<String>,
    error: Option<String>,
    /// The time for which it was held for further messages of its sender, in milliseconds.
    held_ms: u64,
    /// The number of messages in its turn, if there are several: they are answered together.
    joined: Option<u64>,
    /// The latest answer of the language model.
    model: Option<ModelAnswer>,
}

/// A call of the Graph API.
#[derive(Clone, Debug, Serialize)]
struct GraphCall {
    at: DateTime<Utc>,
    request: Value,
    status: Option<u16>,
    answer: Value,
    ms: f64,
}

/// A row of the table `messages`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Row {
    pub(crate) role: String,
    pub(crate) content: String,
    pub(crate) status: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Database {
    rows: Vec<Row>,
    /// Whether the rows wait on the record queue.
    deferred: bool,
}

/// A status of the reply, from Meta.
#[derive(Clone, Debug, Serialize)]
struct StatusEntry {
    status: String,
    at: DateTime<Utc>,
    outcome: Option<String>,
}

/// The state of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Processing,
    Done,
    Waiting,
    Dead,
    Refused,
}

/// A message in the pipeline.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Message {
    pub(crate) wamid: String,
    pub(crate) phone: Option<String>,
    label: String,
    at: DateTime<Utc>,
    order: u64,
    state: State,
    webhook: Option<Webhook>,
    queue: Option<Place>,
    reply: Option<Reply>,
    graph: Vec<GraphCall>,
    database: Option<Database>,
    statuses: Vec<StatusEntry>,
    dead: Option<Dead>,
}

/// All messages, by wamid and in their order.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    all: HashMap<String, Message>,
    order: BTreeMap<u64, String>,
    /// The wamid by each alias: its short form, and both forms of the wamid of a reply.
    aliases: HashMap<String, String>,
}

impl Pipeline {
    pub(crate) fn get(&self, wamid: &str) -> Option<&Message> {
        self.all.get(wamid)
    }

    /// The newest `count`, in their order.
    pub(crate) fn newest(&self, count: usize) -> impl Iterator<Item = &Message> {
        let skipped = self.order.len().saturating_sub(count);
        self.order.values().skip(skipped).filter_map(|wamid| self.all.get(wamid))
    }

    pub(crate) fn wamids(&self) -> Vec<String> {
        self.all.keys().cloned().collect()
    }

    /// Resolves the wamid of a message or of its reply, full or short, to the message's wamid.
    pub(crate) fn resolve<'a>(&'a self, wamid: &'a str) -> Option<&'a str> {
        let wamid = self.aliases.get(wamid).map_or(wamid, String::as_str);
        self.all.contains_key(wamid).then_some(wamid)
    }

    /// Adds the wamid of a reply as an alias.
    pub(crate) fn add_reply(&mut self, wamid: &str, reply: &str) {
        if !self.all.contains_key(wamid) {
            return;
        }
        for alias in [reply, ShortWamid::of(reply).as_str()] {
            self.aliases.insert(alias.to_owned(), wamid.to_owned());
        }
    }

    /// Adds a message, unless it exists.
    pub(crate) fn add(&mut self, wamid: &str, phone: Option<&str>, kind: &str, text: &str, order: u64) {
        if self.all.contains_key(wamid) {
            return;
        }
        let mut shown = shared::text::head(text, LABEL).to_owned();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let message = Message {
            wamid: wamid.to_owned(),
            phone: phone.map(str::to_owned),
            label: format!("{kind}: {shown}"),
            at: Utc::now(),
            order,
            state: State::Processing,
            webhook: None,
            queue: None,
            reply: None,
            graph: Vec::new(),
            database: None,
            statuses: Vec::new(),
            dead: None,
        };
        self.order.insert(order, wamid.to_owned());
        self.aliases.insert(ShortWamid::of(wamid).to_string(), wamid.to_owned());
        self.all.insert(wamid.to_owned(), message);
        while self.order.len() > KEPT {
            if let Some((_, oldest)) = self.order.pop_first() {
                self.all.remove(&oldest);
                self.aliases.retain(|_, wamid| *wamid != oldest);
            }
        }
    }

    /// Changes a message and updates its state. Whether it exists.
    pub(crate) fn change(&mut self, wamid: &str, change: impl FnOnce(&mut Message)) -> bool {
        let Some(message) = self.all.get_mut(wamid) else { return false };
        change(message);
        message.state = message.current_state();
        true
    }
}

impl Message {
    pub(crate) fn posted(&mut self, status: u16, ms: f64, signature: &'static str) {
        let before = self.webhook.take();
        let posts = before.as_ref().map_or(0, |before| before.posts) + 1;
        let accepted = status == 200 || before.is_some_and(|before| before.accepted);
        self.webhook = Some(Webhook { status, ms, signature, posts, accepted });
    }

    /// Adds an attempt of `reply`.
    pub(crate) fn attempted(&mut self, outcome: &str, error: Option<String>, joined: Option<u64>) {
        let reply = self.reply.get_or_insert_default();
        reply.attempts += 1;
        reply.joined = joined;
        reply.outcome = Some(outcome.to_owned());
        reply.error = error;
    }

    pub(crate) fn model_answered(&mut self, answer: ModelAnswer) {
        self.reply.get_or_insert_default().model = Some(answer);
    }

    /// Adds a hold: it waits for further messages of its sender.
    pub(crate) fn held(&mut self, ms: u64) {
        let reply = self.reply.get_or_insert_default();
        reply.held_ms += ms;
        reply.outcome = Some(Outcome::Held.name().to_owned());
    }

    /// Marks the rows as waiting on the record queue.
    pub(crate) fn deferred(&mut self) {
        let database = self.database.get_or_insert_default();
        database.deferred = database.rows.is_empty();
    }

    /// Applies the outcome of a record task: dropped, or failed again.
    pub(crate) fn recorded_later(&mut self, outcome: &str, error: Option<String>) {
        let reply = self.reply.get_or_insert_default();
        reply.error = error;
        if outcome == Outcome::Dropped.name() {
            reply.outcome = Some(outcome.to_owned());
            self.database.get_or_insert_default().deferred = false;
        }
    }

    pub(crate) fn called(&mut self, call: &Call) {
        if self.graph.len() >= CALLS {
            self.graph.remove(0);
        }
        self.graph.push(GraphCall {
            at: call.at,
            request: call.request.clone(),
            status: call.status,
            answer: call.answer.clone(),
            ms: milliseconds(call.duration),
        });
    }

    /// Sets the rows in the database. Whether they changed.
    pub(crate) fn rows(&mut self, rows: Vec<Row>) -> bool {
        let before = self.database.as_ref().map_or(&[][..], |database| &database.rows);
        if rows.is_empty() || before == rows {
            return false;
        }
        self.database = Some(Database { rows, deferred: false });
        true
    }

    pub(crate) fn status(&mut self, name: &str) {
        if self.statuses.iter().all(|status| status.status != name) {
            self.statuses.push(StatusEntry { status: name.to_owned(), at: Utc::now(), outcome: None });
        }
    }

    pub(crate) fn status_handled(&mut self, name: &str, outcome: &str) {
        self.status(name);
        // Of duplicate deliveries the first outcome counts.
        let status = self.statuses.iter_mut().find(|status| status.status == name);
        if let Some(status) =
            status.filter(|status| outcome != Outcome::AppliedBefore.name() || status.outcome.is_none())
        {
            status.outcome = Some(outcome.to_owned());
        }
    }

    /// Sets the place on the queues; `None` when it is on none of them. Whether it changed.
    pub(crate) fn placed(&mut self, place: Option<Place>, dead: Option<Dead>) -> bool {
        let place = match (place, &self.queue) {
            (Some(place), _) => Some(place),
            (None, Some(before)) => Some(before.gone()),
            (None, None) => None,
        };
        if place.as_ref().is_some_and(Place::is_record) && !self.needs_none() {
            self.deferred();
        }
        let is_new = place != self.queue || dead != self.dead;
        (self.queue, self.dead) = (place, dead);
        is_new
    }

    /// Whether rows are expected and not yet found.
    pub(crate) fn lacks_rows(&self) -> bool {
        self.database.as_ref().is_none_or(|database| database.rows.is_empty())
            && !self.needs_none()
            && self.reply.as_ref().is_some_and(|reply| reply.outcome.is_some())
    }

    fn needs_none(&self) -> bool {
        let outcome = self.reply.as_ref().and_then(|reply| Outcome::from_name(reply.outcome.as_deref()?));
        let deferred = self.database.as_ref().is_some_and(|database| database.deferred);
        outcome.is_some_and(|outcome| {
            WITHOUT_ROWS.contains(&outcome) || outcome == Outcome::Undeliverable && !deferred
        })
    }

    fn current_state(&self) -> State {
        let has_rows = self.database.as_ref().is_some_and(|database| !database.rows.is_empty());
        let is_deferred = self.database.as_ref().is_some_and(|database| database.deferred);
        let outcome = self.reply.as_ref().and_then(|reply| Outcome::from_name(reply.outcome.as_deref()?));
        let is_returned = matches!(outcome, Some(Outcome::Returned | Outcome::Held));
        match &self.webhook {
            _ if self.dead.is_some() => State::Dead,
            _ if has_rows || self.needs_none() => State::Done,
            Some(webhook) if !webhook.accepted => State::Refused,
            _ if is_deferred || is_returned => State::Waiting,
            _ => State::Processing,
        }
    }
}
