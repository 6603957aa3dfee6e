//! Counts messages by state. Each number comes from its own source, so that a lost message makes a difference.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use reply::outcome::Outcome;
use serde::Serialize;
use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;

use crate::queues::Places;
use local_stack::logs::Entry;

/// The maximum number of finished messages in memory. One that is redelivered after more than these counts twice.
const REMEMBERED: usize = 50_000;

/// Numbers of distinct messages with an id, identified by the short wamid of the logs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Counters {
    /// Queued, according to the logs of `webhook`.
    pub(crate) accepted: usize,
    /// Replied to, according to the Graph API fake: messages that a reply quotes.
    pub(crate) answered: usize,
    /// With rows in the database, or without rows according to the logs of `reply`.
    pub(crate) recorded: usize,
    /// On the inbound or the record queue, including in flight.
    pub(crate) waiting: usize,
    /// In a dead-letter queue.
    pub(crate) dead: usize,
    /// Accepted, and in none of the other states.
    pub(crate) difference: i64,
    /// Whether the database could be queried.
    pub(crate) known: bool,
}

/// The messages of each source.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Messages that `webhook` queued.
    accepted: Distinct,
    answered: Distinct,
    /// Messages that `reply` finished without rows.
    without_rows: Distinct,
    /// Messages with deferred rows; their user is not always known.
    deferred: Distinct,
    /// Messages that `reply` dead-lettered, for queues that cannot be inspected.
    dead_lettered: HashSet<String>,
    /// The number of rows of users' messages at the last query.
    rows: usize,
}

/// Distinct messages.
#[derive(Debug, Default)]
struct Distinct {
    count: usize,
    /// The messages in memory, numbered in the order of arrival.
    numbers: HashMap<Arc<str>, usize>,
    /// The same messages, the next to be evicted first.
    order: VecDeque<Arc<str>>,
}

/// The state of the database.
#[derive(Debug)]
pub(crate) struct Recorded {
    /// The number of users' messages.
    pub(crate) rows: usize,
    /// Those of the queried messages that are present.
    pub(crate) present: HashSet<String>,
}

impl Distinct {
    fn insert(&mut self, wamid: &str) {
        if !self.contains(wamid) {
            let wamid: Arc<str> = wamid.into();
            self.order.push_back(Arc::clone(&wamid));
            self.numbers.insert(wamid, self.count);
            self.count += 1;
        }
    }

    fn contains(&self, wamid: &str) -> bool {
        self.numbers.contains_key(wamid)
    }

    /// Evicts the oldest beyond [`REMEMBERED`], except those that are `needed`.
    fn forget(&mut self, needed: impl Fn(&str) -> bool) {
        for _ in REMEMBERED..self.order.len() {
            let Some(oldest) = self.order.pop_front() else { return };
            if needed(&oldest) {
                self.order.push_back(oldest);
            } else {
                self.numbers.remove(&oldest);
            }
        }
    }
}

impl Ledger {
    /// Reads a line of a function's log about a message.
    pub(crate) fn read(&mut self, entry: &Entry, wamid: &str) {
        match (&*entry.function, Counter::from_name(entry.field("counter"))) {
            ("webhook", Some(Counter::AcceptedMessages)) => self.accepted.insert(wamid),
            ("reply", Some(Counter::DeferredRecords)) => self.deferred.insert(wamid),
            ("reply", Some(Counter::DeadLetters)) => {
                self.dead_lettered.insert(wamid.to_owned());
            }
            ("reply", _) if ["message", "record"].contains(&entry.field("update")) => {
                self.handled(entry, wamid)
            }
            _ => {}
        }
    }

    fn handled(&mut self, entry: &Entry, wamid: &str) {
        let Some(outcome) = Outcome::from_name(entry.field("outcome")) else { return };
        self.dead_lettered.remove(wamid);
        let needs_none = match outcome {
            Outcome::RegistrationSent
            | Outcome::LinkAsked
            | Outcome::Linked
            | Outcome::LinkDiscarded
            | Outcome::LinkRefused
            | Outcome::Ignored
            | Outcome::EventStored
            | Outcome::Dropped => true,
            // A refused reply to a linked user is recorded; an unlinked sender has no rows.
            Outcome::Undeliverable | Outcome::Silenced => {
                entry.field("user_id").is_empty() && !self.deferred.contains(wamid)
            }
            _ => false,
        };
        if needs_none {
            self.without_rows.insert(wamid);
        }
    }

    /// Counts a reply to this message.
    pub(crate) fn answered(&mut self, wamid: &str) {
        self.answered.insert(ShortWamid::of(wamid).as_str());
    }

    /// The number of accepted messages so far, for [`Ledger::count`] with newer snapshots.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.count
    }

    /// The messages without a final outcome, for queues that cannot be inspected.
    pub(crate) fn open(&self) -> Vec<(String, bool)> {
        let open = self.accepted.numbers.keys().filter(|wamid| !self.without_rows.contains(wamid));
        open.map(|wamid| (wamid.to_string(), self.dead_lettered.contains(&**wamid))).collect()
    }

    /// The unfinished messages to look up in the database, and whether each is a dead letter.
    pub(crate) fn unfinished(&self, places: Option<&Places>) -> Vec<(String, bool)> {
        match places {
            Some(places) => {
                places.all().map(|(wamid, dead)| (ShortWamid::of(wamid).to_string(), dead)).collect()
            }
            None => self.open(),
        }
    }

    /// Counts from snapshots in this order: the first `accepted` messages, `unfinished`, and the database; `None` when
    /// it is unavailable.
    pub(crate) fn count(
        &mut self,
        accepted: usize,
        unfinished: &[(String, bool)],
        recorded: Option<&Recorded>,
    ) -> Counters {
        if let Some(recorded) = recorded {
            self.rows = recorded.rows;
        }
        // A finished message may still be on the queue for a moment, and a new one is not yet accepted.
        let counts = |wamid: &str| {
            !self.without_rows.contains(wamid)
                && recorded.is_none_or(|recorded| !recorded.present.contains(wamid))
                && self.accepted.numbers.get(wamid).is_some_and(|number| *number < accepted)
        };
        let count = |dead| unfinished.iter().filter(|(wamid, is)| *is == dead && counts(wamid)).count();
        let (waiting, dead) = (count(false), count(true));
        let recorded_messages = self.rows + self.without_rows.count;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let counters = Counters {
            accepted,
            answered: self.answered.count,
            recorded: recorded_messages,
            waiting,
            dead,
            difference: number(accepted) - number(recorded_messages) - number(waiting) - number(dead),
            known: recorded.is_some(),
        };
        if let Some(recorded) = recorded {
            self.forget_finished(unfinished, recorded);
        }
        counters
    }

    fn forget_finished(&mut self, unfinished: &[(String, bool)], recorded: &Recorded) {
        if self.accepted.order.len() > REMEMBERED {
            let unfinished = unfinished.iter().map(|(wamid, _)| wamid.as_str());
            let unfinished: HashSet<&str> =
                unfinished.filter(|wamid| !recorded.present.contains(*wamid)).collect();
            self.accepted.forget(|wamid| unfinished.contains(wamid));
        }
        for others in [&mut self.answered, &mut self.without_rows, &mut self.deferred] {
            others.forget(|_| false);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(function: &str, fields: Value) -> Entry {
        Entry { function: function.into(), text: fields.to_string().into(), fields: fields.into() }
    }

    fn ledger(lines: &[(&str, Value)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (function, fields) in lines {
            ledger.read(&entry(function, fields.clone()), fields["wamid"].as_str().unwrap_or_default());
        }
        ledger
    }

    fn accepted(wamid: &str) -> (&'static str, Value) {
        ("webhook", json!({"counter": "accepted_messages", "wamid": wamid, "update": "message"}))
    }

    fn handled(wamid: &str, outcome: &str) -> (&'static str, Value) {
        (
            "reply",
            json!({"counter": "handled_messages", "wamid": wamid, "update": "message", "outcome": outcome}),
        )
    }

    fn recorded(rows: usize, present: &[&str]) -> Recorded {
        Recorded { rows, present: present.iter().map(|&wamid| wamid.to_owned()).collect() }
    }

    #[test]
    fn every_message_is_counted_once_in_any_state() {
        let mut ledger = ledger(&[
            accepted("row"),
            accepted("row"),
            accepted("unlinked"),
            handled("unlinked", "registration_sent"),
            accepted("waiting"),
            accepted("dead"),
        ]);
        let unfinished = [("waiting", false), ("dead", true), ("row", false), ("new", false)];
        let unfinished = unfinished.map(|(wamid, dead)| (wamid.to_owned(), dead));
        let counters = ledger.count(4, &unfinished, Some(&recorded(1, &["row"])));
        let expected = Counters {
            accepted: 4,
            answered: 0,
            recorded: 2,
            waiting: 1,
            dead: 1,
            difference: 0,
            known: true,
        };
        assert_eq!(counters, expected);
    }

    #[test]
    fn a_lost_message_makes_a_difference() {
        let mut ledger = ledger(&[accepted("lost")]);
        assert_eq!(ledger.count(1, &[], Some(&recorded(0, &[]))).difference, 1);
        assert_eq!(ledger.count(0, &[], Some(&recorded(1, &[]))).difference, -1);
    }

    #[test]
    fn a_refused_reply_is_finished_only_for_an_unlinked_sender() {
        let deferred = ("reply", json!({"counter": "deferred_records", "wamid": "later"}));
        let of_user = (
            "reply",
            json!({"wamid": "user", "update": "message", "outcome": "undeliverable", "user_id": "1"}),
        );
        let ledger = ledger(&[
            handled("unlinked", "undeliverable"),
            deferred,
            handled("later", "undeliverable"),
            of_user,
        ]);
        assert_eq!(Vec::from(ledger.without_rows.order), ["unlinked".into()]);
    }

    #[test]
    fn an_unreachable_database_keeps_the_last_number_as_unknown() {
        let mut ledger = ledger(&[accepted("1")]);
        ledger.count(1, &[], Some(&recorded(1, &[])));
        let counters = ledger.count(1, &[], None);
        assert_eq!((counters.recorded, counters.difference, counters.known), (1, 0, false));
    }

    #[test]
    fn evicted_messages_make_no_difference() {
        let mut ledger = Ledger::default();
        let add = |ledger: &mut Ledger, wamid: &str| {
            let (function, fields) = accepted(wamid);
            ledger.read(&entry(function, fields), wamid);
            ledger.answered(wamid);
        };
        add(&mut ledger, "dead");
        let dead = [("dead".to_owned(), true)];
        for round in 0..3 {
            (0..REMEMBERED).for_each(|n| add(&mut ledger, &format!("{round}.{n}")));
            let rows = REMEMBERED * (round + 1);
            let counters = ledger.count(rows + 1, &dead, Some(&recorded(rows, &[])));
            assert_eq!((counters.accepted, counters.answered), (rows + 1, rows + 1));
            assert_eq!((counters.dead, counters.difference), (1, 0));
            for distinct in [&ledger.accepted, &ledger.answered] {
                assert!(distinct.numbers.len() <= REMEMBERED + 1);
                assert_eq!(distinct.numbers.len(), distinct.order.len());
            }
        }
    }
}
