//! What the functions' log says of a payload's updates.

use std::collections::HashMap;
use std::time::Duration;

use reply::delivery::Work;
use reply::outcome::Outcome;
use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use shared::meta::wamid::MessageKey;
use webhook::entry::Entry as QueueEntry;

use crate::journal::{Entry, Journal, Mark};

/// An update, as both functions' logs name it: its kind, shortened wamid and name. Updates without an id, and two senders'
/// messages of one wamid, share a key.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key(String);

/// An update of a payload.
#[derive(Debug)]
pub struct Expected {
    /// As it is named in reports: `message image wamid.…`.
    pub what: String,
    /// What `reply` will make of it.
    pub work: Option<Work>,
    key: Key,
}

/// What became of an update.
#[derive(Clone, Debug)]
pub struct Became {
    /// `reply`'s name of it, such as `answered`; empty when nothing came in time.
    pub outcome: String,
    /// Why, where that is not plain.
    pub reason: String,
}

/// A payload's updates, and how far they have come.
#[derive(Default)]
pub struct Story {
    /// In the payload's order.
    pub expected: Vec<Expected>,
    outcomes: HashMap<Key, Outcomes>,
    /// How many outcomes are still to come.
    pub missing: usize,
    /// How many updates webhook has queued.
    pub queued: usize,
    /// How many of them are messages, of people or of the business.
    pub queued_messages: usize,
}

#[derive(Default)]
struct Outcomes {
    count: usize,
    logged: Vec<Became>,
}

impl Expected {
    /// An entry of the queue, as `reply` reads it.
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

    /// The key from which the rows of a message get their ids.
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

impl Story {
    /// Waits for one more outcome.
    pub fn expect(&mut self, expected: Expected) {
        self.outcomes.entry(expected.key.clone()).or_default().count += 1;
        self.missing += 1;
        self.expected.push(expected);
    }

    /// Reads on from `mark` until it is `enough`, or nothing about the updates has come for as long as `patience`.
    pub async fn follow(
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
                if self.read(&entry) {
                    progress = tokio::time::Instant::now();
                }
            }
        }
    }

    /// Whether the line says something about the updates.
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
        let Some(outcomes) = self.outcomes.get_mut(&key).filter(|_| !outcome.is_empty()) else {
            return false;
        };
        if outcome == Outcome::Deferred.name() {
            // It is on the record queue, and will have another.
            return true;
        }
        outcomes
            .logged
            .push(Became { outcome: outcome.to_owned(), reason: entry.field("reason").to_owned() });
        if outcomes.logged.len() <= outcomes.count {
            self.missing -= 1;
        }
        true
    }

    /// Every update with what became of it. Of updates that share a key the last outcomes count: an earlier one may have
    /// been tried again.
    pub fn told(self) -> impl Iterator<Item = (Expected, Became)> {
        let mut outcomes: HashMap<_, _> = self
            .outcomes
            .into_iter()
            .map(|(key, Outcomes { count, mut logged })| {
                let last = logged.split_off(logged.len().saturating_sub(count));
                (key, last.into_iter())
            })
            .collect();
        self.expected.into_iter().map(move |expected| {
            let became = outcomes.get_mut(&expected.key).and_then(Iterator::next);
            let unclear =
                || Became { outcome: String::new(), reason: "no outcome in time: see the log".to_owned() };
            (expected, became.unwrap_or_else(unclear))
        })
    }
}
