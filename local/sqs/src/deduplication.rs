//! The deduplication window of a FIFO queue: 5 minutes from the first send (SQS Developer Guide,
//! "Exactly-once processing in Amazon SQS"), whatever became of the message since.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::message::Sent;
use crate::time::Timestamp;

const WINDOW: Duration = Duration::from_secs(300);

/// The deduplication id, and the group where the scope is the message group.
type Id = (Option<Arc<str>>, Arc<str>);

/// What was sent in the last 5 minutes.
#[derive(Debug, Default)]
pub(crate) struct DeduplicationWindow {
    sent: HashMap<Id, Sent>,
    /// In the order of sending, which is the order of expiry.
    expiries: VecDeque<(Timestamp, Id)>,
}

impl DeduplicationWindow {
    /// What the first message with this id was answered.
    pub(crate) fn original(&self, id: &Id) -> Option<&Sent> {
        self.sent.get(id)
    }

    pub(crate) fn remember(&mut self, now: Timestamp, id: Id, sent: Sent) {
        self.expiries.push_back((now.plus(WINDOW), id.clone()));
        self.sent.insert(id, sent);
    }

    /// Forgets what is older than the window.
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
    fn the_window_forgets_after_5_minutes_and_keeps_nothing() {
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
