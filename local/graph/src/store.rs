//! Storage of the accepted messages.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::buttons::Button;

/// A message with a success response.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Received {
    /// The wamid returned to the sender.
    pub id: String,
    /// Time of acceptance.
    pub at: DateTime<Utc>,
    /// The Graph API version in the path, such as `v19.0`.
    pub version: String,
    /// Phone number id of the sending business number.
    pub phone_number_id: String,
    /// A phone number as sent (or, with `recipient_type` group, a group's id).
    pub to: Option<String>,
    /// A business-scoped user id.
    pub recipient: Option<String>,
    /// `type`; `text` if the request has none.
    #[serde(rename = "type")]
    pub kind: String,
    /// The body of a text message, or of one with reply buttons.
    pub body: Option<String>,
    /// The reply buttons, in their order.
    pub buttons: Vec<Button>,
    /// The wamid of the quoted message (`context.message_id`).
    pub quotes: Option<String>,
    /// `biz_opaque_callback_data`, which Meta returns in every status of the message.
    pub callback_data: Option<String>,
    /// The header `x-amzn-trace-id`, for tracing the sender.
    pub trace: Option<String>,
    /// Body of the request.
    pub raw: Value,
}

/// A message marked as read, with or without a typing indicator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadReceipt {
    /// Time of acceptance.
    pub at: DateTime<Utc>,
    /// The Graph API version in the path.
    pub version: String,
    /// Phone number id of the reading business number.
    pub phone_number_id: String,
    /// The wamid of the read message.
    pub message_id: String,
    /// Whether the phone shows a typing indicator.
    pub typing: bool,
}

/// The newest 10,000 of each; also the response of `GET /received`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stored {
    /// Delivered messages.
    pub received: Vec<Received>,
    /// Accepted and never delivered: a business-scoped user id in `to`.
    pub dropped: Vec<Received>,
    /// Read receipts and typing indicators.
    pub read_receipts: Vec<ReadReceipt>,
}

/// Fewer messages than expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} of {wanted} messages were received in time")]
pub struct TooFew {
    /// Number of expected messages.
    pub wanted: usize,
    /// Number of messages by the deadline.
    pub got: usize,
}

/// Maximum number stored of each kind, the newest: about 20 MB.
pub(crate) const MAXIMUM_STORED: usize = 10_000;

pub(crate) struct Store {
    stored: Mutex<Newest>,
    /// Number of messages received since the start or the last [`clear`](Self::clear).
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct Newest {
    received: VecDeque<Received>,
    dropped: VecDeque<Received>,
    read_receipts: VecDeque<ReadReceipt>,
}

impl Default for Store {
    fn default() -> Self {
        Self { stored: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Store {
    pub(crate) fn stored(&self) -> Stored {
        let newest = self.lock();
        Stored {
            received: newest.received.iter().cloned().collect(),
            dropped: newest.dropped.iter().cloned().collect(),
            read_receipts: newest.read_receipts.iter().cloned().collect(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        let _newest = self.lock();
        *self.count.borrow()
    }

    /// The stored messages after the first `count` received.
    pub(crate) fn received_after(&self, count: usize) -> Vec<Received> {
        let newest = self.lock();
        let dropped = *self.count.borrow() - newest.received.len();
        newest.received.iter().skip(count.saturating_sub(dropped)).cloned().collect()
    }

    pub(crate) fn add_received(&self, message: Received) {
        let mut newest = self.lock();
        add(&mut newest.received, message);
        self.count.send_modify(|count| *count += 1);
    }

    pub(crate) fn add_dropped(&self, message: Received) {
        add(&mut self.lock().dropped, message);
    }

    pub(crate) fn add_read_receipt(&self, receipt: ReadReceipt) {
        add(&mut self.lock().read_receipts, receipt);
    }

    pub(crate) fn clear(&self) {
        let mut newest = self.lock();
        *newest = Newest::default();
        self.count.send_replace(0);
    }

    pub(crate) async fn wait_for(&self, wanted: usize, within: Duration) -> Result<Vec<Received>, TooFew> {
        let mut count = self.count.subscribe();
        // An error here is the deadline: the sender lives as long as `self`. The list decides instead of the
        // clock, so that a message at the very last moment still counts.
        let _ = tokio::time::timeout(within, count.wait_for(|count| *count >= wanted)).await;
        let got = self.count();
        if got < wanted {
            return Err(TooFew { wanted, got });
        }
        Ok(self.stored().received)
    }

    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add<T>(newest: &mut VecDeque<T>, item: T) {
    newest.push_back(item);
    if newest.len() > MAXIMUM_STORED {
        newest.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(message_id: String) -> ReadReceipt {
        let (version, phone_number_id) = ("v1.0".to_owned(), "1".to_owned());
        ReadReceipt { at: Utc::now(), version, phone_number_id, message_id, typing: false }
    }

    fn received(id: String) -> Received {
        Received {
            id,
            at: Utc::now(),
            version: "v1.0".to_owned(),
            phone_number_id: "1".to_owned(),
            to: None,
            recipient: None,
            kind: "text".to_owned(),
            body: None,
            buttons: Vec::new(),
            quotes: None,
            callback_data: None,
            trace: None,
            raw: Value::Null,
        }
    }

    #[tokio::test]
    async fn only_the_newest_are_stored_and_all_are_counted() {
        let store = Store::default();
        for n in 0..MAXIMUM_STORED + 10 {
            store.add_received(received(n.to_string()));
            store.add_dropped(received(n.to_string()));
            store.add_read_receipt(receipt(n.to_string()));
        }
        let stored = store.stored();
        assert_eq!(
            (stored.received.len(), stored.dropped.len(), stored.read_receipts.len()),
            (MAXIMUM_STORED, MAXIMUM_STORED, MAXIMUM_STORED)
        );
        assert_eq!((stored.received[0].id.as_str(), store.count()), ("10", MAXIMUM_STORED + 10));
        assert_eq!(store.received_after(MAXIMUM_STORED + 9).len(), 1);
        assert_eq!(store.received_after(0).len(), MAXIMUM_STORED, "as many as are stored");
        assert_eq!(
            store.wait_for(MAXIMUM_STORED + 10, Duration::ZERO).await.map(|stored| stored.len()),
            Ok(MAXIMUM_STORED)
        );
        store.clear();
        assert_eq!((store.count(), store.received_after(0).len()), (0, 0));
    }
}
