//! Skipping visibility timeouts, for interactive use: messages become visible now instead of later.

use std::time::Duration;

use uuid::Uuid;

use crate::broker::Broker;
use crate::error::Result;
use crate::message::State;
use crate::queue::Queue;
use crate::time::Timestamp;

/// Selection of messages in flight, and their receive count afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skip {
    /// Only the message with this id.
    pub message_id: Option<Uuid>,
    /// Also the messages received before this time, of a receiver that has died. Without it, only messages
    /// with a changed visibility timeout.
    pub lost_before: Option<Timestamp>,
    /// Minimum receive count afterwards.
    pub receives: u32,
}

impl Broker {
    /// Makes messages in flight visible and returns their number. Not part of SQS.
    ///
    /// # Errors
    /// `QueueDoesNotExist`.
    pub fn skip_waits(&mut self, now: Timestamp, name: &str, skip: &Skip) -> Result<usize> {
        self.advance(now);
        Ok(self.queue_mut(name)?.skip_waits(skip))
    }
}

impl Queue {
    fn skip_waits(&mut self, skip: &Skip) -> usize {
        let waits = |state| match state {
            State::InFlight { since, changed, .. } => {
                changed || skip.lost_before.is_some_and(|lost| lost.since(since) > Duration::ZERO)
            }
            _ => false,
        };
        let meant = |id| skip.message_id.is_none_or(|only| only == id);
        let waiting = self.messages.iter().filter(|(_, message)| meant(message.id) && waits(message.state));
        let waiting: Vec<u64> = waiting.map(|(key, _)| *key).collect();
        for key in &waiting {
            if let Some(message) = self.messages.get_mut(key) {
                message.receive_count = message.receive_count.max(skip.receives);
            }
            self.set_state(*key, State::Visible);
        }
        waiting.len()
    }
}
