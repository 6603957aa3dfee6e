//! One queue: a state machine without a clock and without I/O.
//!
//! Every operation takes the current time and first applies everything due by then: delays and visibility
//! timeouts end, old messages expire. The same operations at the same times have the same results.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::attributes::QueueAttributes;
use crate::deduplication::DeduplicationWindow;
use crate::error::{Result, SqsError};
use crate::message::{Message, State};
use crate::order::Order;
use crate::time::Timestamp;

/// One queue and its messages.
#[derive(Debug)]
pub struct Queue {
    pub(crate) name: String,
    pub(crate) arn: Arc<str>,
    pub(crate) attributes: QueueAttributes,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    purged_at: Option<Timestamp>,
    /// By key. The key is the order of arrival, and on a FIFO queue the sequence number.
    pub(crate) messages: BTreeMap<u64, Message>,
    next_key: u64,
    pub(crate) order: Order,
    /// Ends of delays and visibility timeouts.
    timers: BTreeSet<(Timestamp, u64)>,
    /// Starts of retention periods.
    ages: BTreeSet<(Timestamp, u64)>,
    pub(crate) deduplication: DeduplicationWindow,
    pub(crate) in_flight: usize,
    delayed: usize,
}

/// Number of messages of a queue by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Neither delayed nor in flight; includes messages of locked groups.
    pub visible: usize,
    /// Received, and neither deleted nor made visible again.
    pub in_flight: usize,
    /// In the delay after the send.
    pub delayed: usize,
}

impl Queue {
    pub(crate) fn new(name: &str, arn: &str, attributes: QueueAttributes, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            arn: arn.into(),
            order: Order::new(attributes.fifo.is_some()),
            attributes,
            tags: BTreeMap::new(),
            created_at: now,
            modified_at: now,
            purged_at: None,
            messages: BTreeMap::new(),
            next_key: 1,
            timers: BTreeSet::new(),
            ages: BTreeSet::new(),
            deduplication: DeduplicationWindow::default(),
            in_flight: 0,
            delayed: 0,
        }
    }

    /// The ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The attributes.
    #[must_use]
    pub fn attributes(&self) -> &QueueAttributes {
        &self.attributes
    }

    /// Whether this is a FIFO queue.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.attributes.fifo.is_some()
    }

    /// Number of messages by state, as of the last operation.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            visible: self.messages.len() - self.in_flight - self.delayed,
            in_flight: self.in_flight,
            delayed: self.delayed,
        }
    }

    /// Time of the next timer: a message becomes visible, or expires.
    #[must_use]
    pub fn next_event(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let expiry = self.ages.first().map(|(sent, _)| sent.plus(self.attributes.retention));
        timer.into_iter().chain(expiry).min()
    }

    /// Applies everything due at `now`.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        while let Some(&(at, key)) = self.timers.first()
            && at <= now
        {
            self.set_state(key, State::Visible);
        }
        while let Some(&(sent, key)) = self.ages.first()
            && sent.plus(self.attributes.retention) <= now
        {
            self.take_out(key);
        }
        self.deduplication.advance(now);
    }

    /// Takes over a message from another queue, without limits or deduplication: it must not be lost here.
    pub(crate) fn enqueue(&mut self, now: Timestamp, message: Message) -> u64 {
        self.advance(now);
        let key = self.next_key;
        self.next_key += 1;
        self.ages.insert((message.sent_at, key));
        self.enter(key, message.group_id.as_ref(), message.state);
        self.messages.insert(key, message);
        key
    }

    /// Deletes all messages; the deduplication window is unchanged.
    pub(crate) fn purge(&mut self, now: Timestamp) -> Result<()> {
        self.advance(now);
        if self.purged_at.is_some_and(|at| now.since(at) < Duration::from_secs(60)) {
            return Err(SqsError::PurgeQueueInProgress(self.name.clone()));
        }
        self.purged_at = Some(now);
        self.messages.clear();
        self.timers.clear();
        self.ages.clear();
        self.order = Order::new(self.is_fifo());
        (self.in_flight, self.delayed) = (0, 0);
        Ok(())
    }

    /// Replaces the attributes. The delay of a FIFO queue also applies to messages that are already delayed.
    pub(crate) fn set_attributes(&mut self, now: Timestamp, attributes: QueueAttributes) {
        self.advance(now);
        if self.is_fifo() && attributes.delay != self.attributes.delay {
            let delayed: Vec<(u64, Timestamp)> = self
                .messages
                .iter()
                .filter(|(_, message)| matches!(message.state, State::Delayed { .. }))
                .map(|(key, message)| (*key, message.sent_at.plus(attributes.delay)))
                .collect();
            for (key, until) in delayed {
                self.set_state(key, State::Delayed { until });
            }
        }
        self.attributes = attributes;
        self.modified_at = now;
        self.advance(now);
    }

    /// The next receivable message, for a move task.
    pub(crate) fn peek_next(&self) -> Option<(u64, &Message)> {
        let key = self.order.first()?;
        self.messages.get(&key).map(|message| (key, message))
    }

    /// Removes a message in any state.
    pub(crate) fn take_out(&mut self, key: u64) -> Option<Message> {
        let message = self.messages.remove(&key)?;
        self.ages.remove(&(message.sent_at, key));
        self.leave(key, message.group_id.as_ref(), message.state);
        Some(message)
    }

    /// Changes the state of the message `key`.
    pub(crate) fn set_state(&mut self, key: u64, state: State) {
        let Some(message) = self.messages.get_mut(&key) else { return };
        let before = std::mem::replace(&mut message.state, state);
        let group = message.group_id.clone();
        self.leave(key, group.as_ref(), before);
        self.enter(key, group.as_ref(), state);
    }

    /// Removes a message from the indexes of its state.
    fn leave(&mut self, key: u64, group: Option<&Arc<str>>, state: State) {
        match state {
            State::Visible => self.order.remove(group, key),
            State::Delayed { until } => {
                self.order.remove(group, key);
                self.timers.remove(&(until, key));
                self.delayed -= 1;
            }
            State::InFlight { until, .. } => {
                self.order.settle(group, key);
                self.timers.remove(&(until, key));
                self.in_flight -= 1;
            }
        }
    }

    /// Adds a message to the indexes of its state.
    fn enter(&mut self, key: u64, group: Option<&Arc<str>>, state: State) {
        match state {
            State::Visible => self.order.add(group, key, false),
            State::Delayed { until } => {
                self.order.add(group, key, true);
                self.timers.insert((until, key));
                self.delayed += 1;
            }
            State::InFlight { until, .. } => {
                self.order.hand_out(group, key);
                self.timers.insert((until, key));
                self.in_flight += 1;
            }
        }
    }

    /// Twenty digits, as in SQS; the numbers grow within the queue.
    pub(crate) fn sequence_number(&self, key: u64) -> Option<String> {
        self.is_fifo().then(|| format!("188{key:017}"))
    }
}
