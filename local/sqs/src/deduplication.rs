//! The deduplication window of a FIFO queue: 5 minutes from the first send (SQS Developer Guide,
//! "Exactly-once processing in Amazon SQS"), even if the message has been received or deleted since.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::message::Sent;
use crate::time::Timestamp;

const WINDOW: Duration = Duration::from_secs(300);

/// The deduplication id, and the group where the scope is the message group.
type Id = (Option<Arc<str>>, Arc<str>);

/// Sends of the last 5 minutes.
#[derive(Debug, Default)]
pub(crate) struct DeduplicationWindow {
    sent: HashMap<Id, Sent>,
    /// In sending order, which is expiry order.
    expiries: VecDeque<(Timestamp, Id)>,
}

impl DeduplicationWindow {
    /// The result of the first send with this id.
    pub(crate) fn original(&self, id: &Id) -> Option<&Sent> {
        self.sent.get(id)
    }

    pub(crate) fn remember(&mut self, now: Timestamp, id: Id, sent: Sent) {
        self.expiries.push_back((now.plus(WINDOW), id.clone()));
        self.sent.insert(id, sent);
    }

    /// Removes entries older than the window.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        while self.expiries.front().is_some_and(|(expiry, _)| *expiry <= now) {
            if let Some((_, id)) = self.expiries.pop_front() {
                self.sent.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deduplication_window_expires_after_5_minutes() {
        let mut window = DeduplicationWindow::default();
        let sent = Sent { message_id: uuid::Uuid::nil(), sequence_number: None };
        let start = Timestamp::from_millis(1_000);
        let id = |number: u64| (None, Arc::from(number.to_string()));
        for number in 0..100 {
            window.remember(start.plus(Duration::from_secs(number)), id(number), sent.clone());
        }
        window.advance(Timestamp::from_millis(300_999));
        assert!(window.original(&id(0)).is_some());
        window.advance(Timestamp::from_millis(301_000));
        assert!(window.original(&id(0)).is_none() && window.original(&id(1)).is_some());
        window.advance(start.plus(Duration::from_secs(99) + WINDOW));
        assert!(window.sent.is_empty() && window.expiries.is_empty());
    }
}
