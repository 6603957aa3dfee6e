//! Selection of the next message: the oldest visible one; on a FIFO queue, the oldest one of an unlocked
//! group.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::fifo::Groups;

/// The messages that are not in flight.
#[derive(Debug)]
pub(crate) enum Order {
    /// Visible messages by age. SQS does not guarantee an order on standard queues; this one is the simplest.
    Standard(BTreeSet<u64>),
    Fifo(Groups),
}

/// The message group; ignored on a standard queue.
type GroupId<'a> = Option<&'a Arc<str>>;

impl Order {
    pub(crate) fn new(fifo: bool) -> Self {
        if fifo { Self::Fifo(Groups::default()) } else { Self::Standard(BTreeSet::new()) }
    }

    pub(crate) fn add(&mut self, group: GroupId<'_>, key: u64, delayed: bool) {
        match (self, group) {
            (Self::Fifo(groups), Some(group)) => groups.add(group, key, delayed),
            (Self::Standard(visible), _) if !delayed => {
                visible.insert(key);
            }
            _ => {}
        }
    }

    pub(crate) fn remove(&mut self, group: GroupId<'_>, key: u64) {
        match (self, group) {
            (Self::Fifo(groups), Some(group)) => groups.remove(group, key),
            (Self::Standard(visible), _) => {
                visible.remove(&key);
            }
            _ => {}
        }
    }

    pub(crate) fn hand_out(&mut self, group: GroupId<'_>, key: u64) {
        match (self, group) {
            (Self::Fifo(groups), Some(group)) => groups.hand_out(group, key),
            (order, group) => order.remove(group, key),
        }
    }

    /// Records that a message is no longer in flight.
    pub(crate) fn settle(&mut self, group: GroupId<'_>, key: u64) {
        if let (Self::Fifo(groups), Some(group)) = (self, group) {
            groups.settle(group, key);
        }
    }

    /// The next message for a new receive.
    pub(crate) fn first(&self) -> Option<u64> {
        match self {
            Self::Standard(visible) => visible.first().copied(),
            Self::Fifo(groups) => groups.first(),
        }
    }

    /// The next message for a receive that has just taken the message `last` of a group: SQS returns as many messages
    /// of the same group as possible.
    pub(crate) fn next(&self, last: Option<&(Arc<str>, u64)>) -> Option<u64> {
        match (self, last) {
            (Self::Fifo(groups), Some((group, last))) => {
                groups.following(group, *last).or_else(|| groups.first())
            }
            _ => self.first(),
        }
    }
}
