//! The order in which messages become due, and the lock on a message group.
//!
//! Every step costs a logarithm of the backlog: groups whose next message can be received are kept in an
//! index by the age of that message.

use std::collections::{BTreeMap, HashMap};
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
    in_flight: usize,
    /// This group's entry in the index.
    ready: Option<u64>,
}

type Delayed = bool;

impl Group {
    /// The next message, unless its delay has not ended (which blocks all later ones of the group too).
    fn next(&self) -> Option<u64> {
        self.waiting.first_key_value().filter(|(_, delayed)| !**delayed).map(|(key, _)| *key)
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

    /// Hands a message out, which locks its group.
    pub(crate) fn hand_out(&mut self, group: &Arc<str>, key: u64) {
        self.change(group, |entry| {
            entry.waiting.remove(&key);
            entry.in_flight += 1;
        });
    }

    /// Records that a message is no longer in flight: it was deleted, or is about to be added again.
    pub(crate) fn settle(&mut self, group: &Arc<str>) {
        self.change(group, |entry| entry.in_flight = entry.in_flight.saturating_sub(1));
    }

    /// The oldest receivable message: visible, the first of its group, with nothing of the group in flight.
    pub(crate) fn first(&self) -> Option<u64> {
        self.ready.first_key_value().map(|(key, _)| *key)
    }

    /// The next message of a group from which the same receive has just handed out a message.
    pub(crate) fn following(&self, group: &str) -> Option<u64> {
        self.groups.get(group).and_then(Group::next)
    }

    fn change(&mut self, group: &Arc<str>, change: impl FnOnce(&mut Group)) {
        let entry = self.groups.entry(group.clone()).or_default();
        change(entry);
        let next = if entry.in_flight == 0 { entry.next() } else { None };
        if entry.ready != next {
            if let Some(key) = entry.ready {
                self.ready.remove(&key);
            }
            if let Some(key) = next {
                self.ready.insert(key, group.clone());
            }
            entry.ready = next;
        }
        if entry.waiting.is_empty() && entry.in_flight == 0 {
            self.groups.remove(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_is_locked_until_its_last_message_in_flight_is_settled() {
        let mut groups = Groups::default();
        let group: Arc<str> = "a".into();
        for key in 1..=3 {
            groups.add(&group, key, false);
        }
        groups.hand_out(&group, 1);
        groups.hand_out(&group, 2);
        assert_eq!((groups.first(), groups.following("a")), (None, Some(3)));
        groups.settle(&group);
        assert_eq!(groups.first(), None);
        groups.settle(&group);
        groups.add(&group, 2, false);
        assert_eq!(groups.first(), Some(2), "the returned message comes before the later one");
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
        groups.settle(&group);
        assert!(groups.groups.is_empty() && groups.ready.is_empty());
    }
}
