//! How many messages were accepted, and where they are now. Each number is from a source of its own, so that a message
//! that is lost between two of them makes a difference.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use shared::logging::ShortWamid;

use super::queues::Places;
use crate::journal::Entry;

/// The numbers, of distinct messages with an id. Here they are known by the shortened wamid, as the log has it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub(super) struct Counters {
    /// The log of `webhook` says that the queue has it.
    pub(super) accepted: usize,
    /// A phone has got an answer to it, says the Graph API.
    pub(super) answered: usize,
    /// Its rows are in the database; or `reply` has said that it needs none.
    pub(super) recorded: usize,
    /// It is on the inbound or the record queue, in the hands of `reply` included.
    pub(super) waiting: usize,
    /// It is in a dead-letter queue.
    pub(super) dead: usize,
    /// Accepted, and nowhere.
    pub(super) difference: i64,
    /// Whether the database could be asked.
    pub(super) known: bool,
}

/// What is remembered of each source.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What `webhook` has queued, with its number in the order of that.
    accepted: HashMap<String, usize>,
    answered: HashSet<String>,
    /// What `reply` is done with and has nothing to write of.
    without_rows: HashSet<String>,
    /// What `reply` has put off, for which it does not always know whose it is.
    deferred: HashSet<String>,
    /// What `reply` has given up, for when the queues cannot be looked at.
    given_up: HashSet<String>,
    /// How many rows of people's messages the database had when it was last asked.
    rows: usize,
}

/// What the database says.
#[derive(Debug)]
pub(super) struct Recorded {
    /// How many messages of people it has.
    pub(super) rows: usize,
    /// Which of those that were asked for.
    pub(super) present: HashSet<String>,
}

impl Ledger {
    /// Reads a line of a function's log.
    pub(super) fn read(&mut self, entry: &Entry) {
        let (counter, wamid) = (entry.field("counter"), entry.field("wamid"));
        if wamid.is_empty() {
            return;
        }
        let wamid = wamid.to_owned();
        match (&*entry.function, counter) {
            ("webhook", "accepted_messages") => {
                let number = self.accepted.len();
                self.accepted.entry(wamid).or_insert(number);
            }
            ("reply", "deferred_records") => {
                self.deferred.insert(wamid);
            }
            ("reply", "dead_letters") => {
                self.given_up.insert(wamid);
            }
            ("reply", _) if ["message", "record"].contains(&entry.field("update")) => {
                self.handled(entry, wamid)
            }
            _ => {}
        }
    }

    fn handled(&mut self, entry: &Entry, wamid: String) {
        let outcome = entry.field("outcome");
        if outcome.is_empty() {
            return;
        }
        self.given_up.remove(&wamid);
        let needs_none = match outcome {
            "registration_sent" | "ignored" | "event_kept" | "dropped" => true,
            // A user's refused answer is written; of nobody there is nothing to write.
            "undeliverable" => entry.field("user_id").is_empty() && !self.deferred.contains(&wamid),
            _ => false,
        };
        if needs_none {
            self.without_rows.insert(wamid);
        }
    }

    /// A phone has got an answer to this message.
    pub(super) fn answered(&mut self, wamid: &str) {
        self.answered.insert(ShortWamid::of(wamid).to_string());
    }

    /// How many messages are accepted by now: [`Ledger::count`] counts these, and what it is told is newer.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// The messages that are neither written nor without anything to write, for when the queues cannot be looked at.
    pub(super) fn open(&self) -> Vec<(String, bool)> {
        let open = self.accepted.keys().filter(|wamid| !self.without_rows.contains(*wamid));
        open.map(|wamid| (wamid.clone(), self.given_up.contains(wamid))).collect()
    }

    /// The messages on the queues whose rows are to be looked for.
    pub(super) fn unfinished(&self, places: Option<&Places>) -> Vec<(String, bool)> {
        match places {
            Some(places) => {
                places.all().map(|(wamid, dead)| (ShortWamid::of(wamid).to_string(), dead)).collect()
            }
            None => self.open(),
        }
    }

    /// The first `accepted` messages, `unfinished` after them, and the database after that; `None` when it says nothing.
    pub(super) fn count(
        &mut self,
        accepted: usize,
        unfinished: &[(String, bool)],
        recorded: Option<&Recorded>,
    ) -> Counters {
        if let Some(recorded) = recorded {
            self.rows = recorded.rows;
        }
        // What is finished may still be on the queue for a moment, and what is new is not yet accepted.
        let counts = |wamid: &String| {
            !self.without_rows.contains(wamid)
                && recorded.is_none_or(|recorded| !recorded.present.contains(wamid))
                && self.accepted.get(wamid).is_some_and(|number| *number < accepted)
        };
        let count = |dead| unfinished.iter().filter(|(wamid, is)| *is == dead && counts(wamid)).count();
        let (waiting, dead) = (count(false), count(true));
        let recorded_messages = self.rows + self.without_rows.len();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Counters {
            accepted,
            answered: self.answered.len(),
            recorded: recorded_messages,
            waiting,
            dead,
            difference: number(accepted) - number(recorded_messages) - number(waiting) - number(dead),
            known: recorded.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(function: &str, fields: Value) -> Entry {
        Entry { function: function.into(), text: fields.to_string(), fields }
    }

    fn ledger(lines: &[(&str, Value)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (function, fields) in lines {
            ledger.read(&entry(function, fields.clone()));
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
    fn every_message_is_counted_once_wherever_it_is() {
        let mut ledger = ledger(&[
            accepted("row"),
            accepted("row"),
            accepted("nobody"),
            handled("nobody", "registration_sent"),
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
    fn a_message_that_is_nowhere_makes_a_difference() {
        let mut ledger = ledger(&[accepted("lost")]);
        assert_eq!(ledger.count(1, &[], Some(&recorded(0, &[]))).difference, 1);
        assert_eq!(ledger.count(0, &[], Some(&recorded(1, &[]))).difference, -1);
    }

    #[test]
    fn a_refused_answer_is_finished_only_when_nobody_s_rows_are_to_be_written() {
        let deferred = ("reply", json!({"counter": "deferred_records", "wamid": "later"}));
        let of_user = (
            "reply",
            json!({"wamid": "user", "update": "message", "outcome": "undeliverable", "user_id": "1"}),
        );
        let ledger = ledger(&[
            handled("nobody", "undeliverable"),
            deferred,
            handled("later", "undeliverable"),
            of_user,
        ]);
        assert_eq!(ledger.without_rows, HashSet::from(["nobody".to_owned()]));
    }

    #[test]
    fn an_unreachable_database_leaves_the_last_number_and_says_so() {
        let mut ledger = ledger(&[accepted("1")]);
        ledger.count(1, &[], Some(&recorded(1, &[])));
        let counters = ledger.count(1, &[], None);
        assert_eq!((counters.recorded, counters.difference, counters.known), (1, 0, false));
    }
}
