//! The way of each message through the pipeline.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use local_graph::Call;
use reply::outcome::Outcome;
use serde::Serialize;
use serde_json::Value;
use shared::lambda::logging::ShortWamid;

use crate::posts::milliseconds;
use crate::queues::{Dead, Place};

/// How many journeys are kept.
const KEPT: usize = 1000;
/// How many calls of the Graph API are kept of each, the latest.
const CALLS: usize = 20;
/// Characters of a label's text at most.
const LABEL: usize = 60;
/// Outcomes after which nothing is to be written, or nothing of a message's own.
const WITHOUT_ROWS: [Outcome; 5] = [
    Outcome::RegistrationSent,
    Outcome::Ignored,
    Outcome::EventStored,
    Outcome::Dropped,
    Outcome::AnsweredBefore,
];

/// What the webhook said.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Webhook {
    status: u16,
    ms: f64,
    signature: &'static str,
    posts: u32,
    /// Whether it has ever been taken.
    #[serde(skip)]
    taken: bool,
}

/// What `reply` made of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Reply {
    attempts: u32,
    outcome: Option<String>,
    error: Option<String>,
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
    /// Whether they are still to be written.
    deferred: bool,
}

/// What Meta said of the answer.
#[derive(Clone, Debug, Serialize)]
struct Status {
    status: String,
    at: DateTime<Utc>,
    outcome: Option<String>,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Travelling,
    Done,
    Waiting,
    Dead,
    Refused,
}

/// One message's way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Journey {
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
    statuses: Vec<Status>,
    dead: Option<Dead>,
}

/// All journeys by wamid, and in their order.
#[derive(Debug, Default)]
pub(crate) struct Journeys {
    all: HashMap<String, Journey>,
    order: BTreeMap<u64, String>,
    /// The message of each further name: its shortened wamid, and both wamids of an answer to it.
    names: HashMap<String, String>,
}

impl Journeys {
    pub(crate) fn get(&self, wamid: &str) -> Option<&Journey> {
        self.all.get(wamid)
    }

    /// The newest `count`, in their order.
    pub(crate) fn newest(&self, count: usize) -> impl Iterator<Item = &Journey> {
        let skipped = self.order.len().saturating_sub(count);
        self.order.values().skip(skipped).filter_map(|wamid| self.all.get(wamid))
    }

    pub(crate) fn wamids(&self) -> Vec<String> {
        self.all.keys().cloned().collect()
    }

    /// The journey's wamid, by that of the message or of its answer, whole or shortened.
    pub(crate) fn named<'a>(&'a self, wamid: &'a str) -> Option<&'a str> {
        let wamid = self.names.get(wamid).map_or(wamid, String::as_str);
        self.all.contains_key(wamid).then_some(wamid)
    }

    /// Notes whose answer a message of the business is.
    pub(crate) fn answered_by(&mut self, wamid: &str, answer: &str) {
        if !self.all.contains_key(wamid) {
            return;
        }
        for name in [answer, ShortWamid::of(answer).as_str()] {
            self.names.insert(name.to_owned(), wamid.to_owned());
        }
    }

    /// A journey begins, unless it has before.
    pub(crate) fn begin(&mut self, wamid: &str, phone: Option<&str>, kind: &str, text: &str, order: u64) {
        if self.all.contains_key(wamid) {
            return;
        }
        let mut shown = shared::text::head(text, LABEL).to_owned();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let journey = Journey {
            wamid: wamid.to_owned(),
            phone: phone.map(str::to_owned),
            label: format!("{kind}: {shown}"),
            at: Utc::now(),
            order,
            state: State::Travelling,
            webhook: None,
            queue: None,
            reply: None,
            graph: Vec::new(),
            database: None,
            statuses: Vec::new(),
            dead: None,
        };
        self.order.insert(order, wamid.to_owned());
        self.names.insert(ShortWamid::of(wamid).to_string(), wamid.to_owned());
        self.all.insert(wamid.to_owned(), journey);
        while self.order.len() > KEPT {
            if let Some((_, oldest)) = self.order.pop_first() {
                self.all.remove(&oldest);
                self.names.retain(|_, question| *question != oldest);
            }
        }
    }

    /// Changes a journey, and where it stands. Whether it is there.
    pub(crate) fn change(&mut self, wamid: &str, change: impl FnOnce(&mut Journey)) -> bool {
        let Some(journey) = self.all.get_mut(wamid) else { return false };
        change(journey);
        journey.state = journey.stands();
        true
    }
}

impl Journey {
    pub(crate) fn posted(&mut self, status: u16, ms: f64, signature: &'static str) {
        let before = self.webhook.take();
        let posts = before.as_ref().map_or(0, |before| before.posts) + 1;
        let taken = status == 200 || before.is_some_and(|before| before.taken);
        self.webhook = Some(Webhook { status, ms, signature, posts, taken });
    }

    /// `reply` has tried once.
    pub(crate) fn tried(&mut self, outcome: &str, error: Option<String>) {
        let reply = self.reply.get_or_insert_default();
        reply.attempts += 1;
        reply.outcome = Some(outcome.to_owned());
        reply.error = error;
    }

    /// The rows are to be written later.
    pub(crate) fn deferred(&mut self) {
        let database = self.database.get_or_insert_default();
        database.deferred = database.rows.is_empty();
    }

    /// What became of a record task: nothing is to be written after all, or it failed again.
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

    /// What the database has of it. Whether that is new.
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
            self.statuses.push(Status { status: name.to_owned(), at: Utc::now(), outcome: None });
        }
    }

    pub(crate) fn status_handled(&mut self, name: &str, outcome: &str) {
        self.status(name);
        // The second of two deliveries is the less interesting.
        let status = self.statuses.iter_mut().find(|status| status.status == name);
        if let Some(status) =
            status.filter(|status| outcome != Outcome::AppliedBefore.name() || status.outcome.is_none())
        {
            status.outcome = Some(outcome.to_owned());
        }
    }

    /// Where the queues have it; `None`: in none of them. Whether that is new.
    pub(crate) fn placed(&mut self, place: Option<Place>, dead: Option<Dead>) -> bool {
        let place = match (place, &self.queue) {
            (Some(place), _) => Some(place),
            (None, Some(before)) => Some(before.gone()),
            (None, None) => None,
        };
        let is_new = place != self.queue || dead != self.dead;
        (self.queue, self.dead) = (place, dead);
        is_new
    }

    /// Whether its rows should be there and are not known.
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

    fn stands(&self) -> State {
        let has_rows = self.database.as_ref().is_some_and(|database| !database.rows.is_empty());
        let is_deferred = self.database.as_ref().is_some_and(|database| database.deferred);
        let has_failed =
            self.reply.as_ref().is_some_and(|reply| reply.outcome.as_deref() == Some("returned"));
        match &self.webhook {
            _ if self.dead.is_some() => State::Dead,
            _ if has_rows || self.needs_none() => State::Done,
            Some(webhook) if !webhook.taken => State::Refused,
            _ if is_deferred || has_failed => State::Waiting,
            _ => State::Travelling,
        }
    }
}
