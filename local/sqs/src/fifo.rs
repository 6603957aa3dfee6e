//! The order in which messages become due, and the lock on a message group.
//!
//! Every step costs a logarithm of the backlog: groups whose next message can be received are kept in an
//! index by the age of that message.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

/// Message groups of one FIFO queue. A message is identified by its key; keys grow in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: HashMap<Arc<str>, Group>,
    /// The oldest message of every group with a receivable message.
    ready: BTreeMap<u64, Arc<str>>,
}

#[derive(Debug, Default)]
struct Group {
    /// Messages that are not in flight, in order, and whether they are still delayed.
    waiting: BTreeMap<u64, Delayed>,
    in_flight: BTreeSet<u64>,
    /// This group's entry in the index.
    ready: Option<u64>,
}

type Delayed = bool;

impl Group {
    /// The next message, unless its delay has not ended (which blocks all later ones of the group too).
    fn next(&self) -> Option<u64> {
        self.waiting.first_key_value().filter(|(_, delayed)| !**delayed).map(|(key, _)| *key)
    }

    /// The next message, unless one between `last` and it is in flight. Keys are at least 1.
    fn next_after(&self, last: u64) -> Option<u64> {
        let blocked_from = self.in_flight.range((Excluded(last), Unbounded)).next();
        self.next().filter(|key| blocked_from.is_none_or(|from| key < from))
    }
}

impl Groups {
    /// Adds a message that is not in flight, or returns one.
    pub(crate) fn add(&mut self, group: &Arc<str>, key: u64, delayed: Delayed) {
        self.change(group, |entry| {
            entry.waiting.insert(key, delayed);
        });
    }

    /// Removes a message that is not in flight.
    pub(crate) fn remove(&mut self, group: &Arc<str>, key: u64) {
        self.change(group, |entry| {
            entry.waiting.remove(&key);
        });
    }

    /// Hands a message out, which locks its group from there on.
    pub(crate) fn hand_out(&mut self, group: &Arc<str>, key: u64) {
        self.change(group, |entry| {
            entry.waiting.remove(&key);
            entry.in_flight.insert(key);
        });
    }

    /// Records that a message is no longer in flight: it was deleted, or is about to be added again.
    pub(crate) fn settle(&mut self, group: &Arc<str>, key: u64) {
        self.change(group, |entry| {
            entry.in_flight.remove(&key);
        });
    }

    /// The oldest receivable message: visible, the first of its group, with no earlier one of the group in flight.
    pub(crate) fn first(&self) -> Option<u64> {
        self.ready.first_key_value().map(|(key, _)| *key)
    }

    /// The next message of a group from which the same receive has just handed out the message `last`.
    pub(crate) fn following(&self, group: &str, last: u64) -> Option<u64> {
        self.groups.get(group)?.next_after(last)
    }

    fn change(&mut self, group: &Arc<str>, change: impl FnOnce(&mut Group)) {
        let entry = self.groups.entry(group.clone()).or_default();
        change(entry);
        let next = entry.next_after(0);
        if entry.ready != next {
            if let Some(key) = entry.ready {
                self.ready.remove(&key);
            }
            if let Some(key) = next {
                self.ready.insert(key, group.clone());
            }
            entry.ready = next;
        }
        if entry.waiting.is_empty() && entry.in_flight.is_empty() {
            self.groups.remove(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_is_locked_behind_its_first_message_in_flight() {
        let mut groups = Groups::default();
        let group: Arc<str> = "a".into();
        for key in 1..=3 {
            groups.add(&group, key, false);
        }
        groups.hand_out(&group, 1);
        groups.hand_out(&group, 2);
        assert_eq!((groups.first(), groups.following("a", 2)), (None, Some(3)));
        groups.settle(&group, 2);
        groups.add(&group, 2, false);
        assert_eq!(groups.first(), None, "the first one is in flight");
        groups.settle(&group, 1);
        assert_eq!(groups.first(), Some(2), "the returned message comes before the later one");
        groups.hand_out(&group, 2);
        groups.hand_out(&group, 3);
        groups.settle(&group, 2);
        groups.add(&group, 2, false);
        groups.add(&group, 4, false);
        assert_eq!(groups.first(), Some(2), "only a later one is in flight");
        groups.hand_out(&group, 2);
        assert_eq!(groups.following("a", 2), None, "it blocks those behind it");
    }

    #[test]
    fn delayed_message_blocks_later_ones_of_its_group_only() {
        let mut groups = Groups::default();
        groups.add(&"a".into(), 1, true);
        groups.add(&"a".into(), 2, false);
        groups.add(&"b".into(), 3, false);
        assert_eq!(groups.first(), Some(3));
        groups.add(&"a".into(), 1, false);
        assert_eq!(groups.first(), Some(1));
    }

    #[test]
    fn empty_group_is_removed() {
        let mut groups = Groups::default();
        let group: Arc<str> = "a".into();
        groups.add(&group, 1, false);
        groups.hand_out(&group, 1);
        groups.settle(&group, 1);
        assert!(groups.groups.is_empty() && groups.ready.is_empty());
    }
}
