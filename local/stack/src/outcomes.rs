//! The outcomes of a payload's updates, from the functions' logs.

use std::collections::HashMap;
use std::time::Duration;

use reply::delivery::Work;
use reply::outcome::Outcome;
use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use shared::meta::wamid::MessageKey;
use webhook::entry::Entry as QueueEntry;

use crate::logs::{Entry, Logs, Mark};

/// An update, as both functions' logs name it: kind, shortened wamid and name. Updates without an id, and two senders'
/// messages with the same wamid, share a key.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key(String);

/// An update of a payload.
#[derive(Debug)]
pub struct Expected {
    /// Its name in reports: `message image wamid.…`.
    pub what: String,
    /// The work of `reply` for it.
    pub work: Option<Work>,
    key: Key,
}

/// The outcome of an update.
#[derive(Clone, Debug)]
pub struct UpdateOutcome {
    /// `reply`'s name of it, such as `answered`; empty when none was logged in time.
    pub outcome: String,
    /// The reason; empty where the outcome needs none.
    pub reason: String,
}

/// A payload's updates, and their outcomes so far.
#[derive(Default)]
pub struct Outcomes {
    /// In the payload's order.
    pub expected: Vec<Expected>,
    by_key: HashMap<Key, KeyOutcomes>,
    /// The number of outcomes that are not logged yet.
    pub missing: usize,
    /// The number of updates that webhook has queued.
    pub queued: usize,
    /// The number of queued messages, of users or of the business.
    pub queued_messages: usize,
}

#[derive(Default)]
struct KeyOutcomes {
    count: usize,
    logged: Vec<UpdateOutcome>,
    /// The last failed attempt, which will be retried.
    returned: Option<UpdateOutcome>,
}

impl Expected {
    /// Reads an entry of the queue as `reply` does.
    #[must_use]
    pub fn new(entry: &QueueEntry) -> Self {
        let work = Work::read(&entry.body).ok();
        let (update, wamid, name) = work
            .as_ref()
            .map_or(("unknown", None, None), |work| (work.update().name(), work.wamid(), work.name()));
        let key = Key::new(update, wamid.unwrap_or_default(), name.unwrap_or_default());
        let id = wamid.unwrap_or(if update == "event" { "" } else { "without an id" });
        let words = [update, name.unwrap_or_default(), id];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        Self { what: words.join(" "), work, key }
    }

    /// Returns the key from which the ids of a message's rows are derived.
    #[must_use]
    pub fn message_key(&self) -> Option<&MessageKey> {
        match &self.work {
            Some(Work::Answer(message) | Work::Echo(message)) => Some(&message.key),
            _ => None,
        }
    }
}

impl Key {
    fn new(update: &str, wamid: &str, name: &str) -> Self {
        Self(format!("{update}\n{}\n{name}", ShortWamid::of(wamid)))
    }
}

impl Outcomes {
    /// Adds an update with an expected outcome.
    pub fn expect(&mut self, expected: Expected) {
        self.by_key.entry(expected.key.clone()).or_default().count += 1;
        self.missing += 1;
        self.expected.push(expected);
    }

    /// Reads the logs from `mark` on until `enough` holds, or no line about the updates was logged for `patience`.
    pub async fn collect(
        &mut self,
        logs: &Logs,
        mark: &mut Mark,
        patience: Duration,
        enough: impl Fn(&Self) -> bool,
    ) {
        let mut progress = tokio::time::Instant::now();
        while !enough(self) {
            let Ok(logged) = tokio::time::timeout_at(progress + patience, logs.next(mark)).await else {
                return;
            };
            for entry in logged {
                if self.read(&entry) {
                    progress = tokio::time::Instant::now();
                }
            }
        }
    }

    /// Returns whether the line is about one of the updates.
    fn read(&mut self, entry: &Entry) -> bool {
        let counter = entry.field("counter");
        if &*entry.function == "webhook" {
            let (queued, message) = match Counter::from_name(counter) {
                Some(Counter::AcceptedMessages | Counter::AcceptedEchoes) => (true, true),
                Some(Counter::AcceptedStatuses | Counter::AcceptedEvents) => (true, false),
                _ => (false, false),
            };
            self.queued += usize::from(queued);
            self.queued_messages += usize::from(message);
            return queued;
        }
        let outcome = entry.field("outcome");
        let key = Key::new(entry.field("update"), entry.field("wamid"), entry.field("name"));
        let Some(outcomes) = self.by_key.get_mut(&key).filter(|_| !outcome.is_empty()) else {
            return false;
        };
        if [Outcome::Deferred, Outcome::Held].map(Outcome::name).contains(&outcome) {
            // The update is on the record queue, or held, and will have another outcome.
            return true;
        }
        let update = UpdateOutcome { outcome: outcome.to_owned(), reason: entry.field("reason").to_owned() };
        if outcome == Outcome::Returned.name() {
            outcomes.returned = Some(update);
            return true;
        }
        outcomes.logged.push(update);
        if outcomes.logged.len() <= outcomes.count {
            self.missing -= 1;
        }
        true
    }

    /// Returns every update with its outcome: that of its last attempt if none succeeded. For updates that share a key the
    /// last outcomes count.
    pub fn into_pairs(self) -> impl Iterator<Item = (Expected, UpdateOutcome)> {
        let mut outcomes: HashMap<_, _> = self
            .by_key
            .into_iter()
            .map(|(key, KeyOutcomes { count, mut logged, returned })| {
                let last = logged.split_off(logged.len().saturating_sub(count));
                (key, last.into_iter().chain(returned.into_iter().cycle()).take(count))
            })
            .collect();
        self.expected.into_iter().map(move |expected| {
            let outcome = outcomes.get_mut(&expected.key).and_then(Iterator::next);
            let unknown = || UpdateOutcome {
                outcome: String::new(),
                reason: "no outcome in time: see the logs".to_owned(),
            };
            (expected, outcome.unwrap_or_else(unknown))
        })
    }
}
