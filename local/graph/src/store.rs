//! What the stand-in keeps.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

/// A message that was answered with success.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Received {
    /// The wamid that the sender was given.
    pub id: String,
    /// When it was accepted.
    pub at: DateTime<Utc>,
    /// The Graph API version in the path, such as `v19.0`.
    pub version: String,
    /// The business number it was sent from.
    pub phone_number_id: String,
    /// A phone number as it was sent (or, with `recipient_type` group, a group's id).
    pub to: Option<String>,
    /// A business-scoped user id.
    pub recipient: Option<String>,
    /// `type`; `text` when the request did not say.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text of a text message.
    pub body: Option<String>,
    /// The wamid of the message that this one quotes (`context.message_id`).
    pub quotes: Option<String>,
    /// The header `x-amzn-trace-id`, by which the sender's side can be followed.
    pub trace: Option<String>,
    /// The request's body.
    pub raw: Value,
}

/// A message marked as read, with or without a typing indicator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReadReceipt {
    /// When it was accepted.
    pub at: DateTime<Utc>,
    /// The Graph API version in the path.
    pub version: String,
    /// The business number that read it.
    pub phone_number_id: String,
    /// The wamid of the message that was read.
    pub message_id: String,
    /// Whether the phone now shows that an answer is being written.
    pub typing: bool,
}

/// The newest 10,000 of each; also what `GET /received` answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Kept {
    /// What a phone would have received.
    pub received: Vec<Received>,
    /// Answered with success and never delivered: a business-scoped user id in `to`.
    pub dropped: Vec<Received>,
    /// Read receipts and typing indicators.
    pub read_receipts: Vec<ReadReceipt>,
}

/// Fewer messages than waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} of {wanted} messages were received in time")]
pub struct TooFew {
    /// How many were waited for.
    pub wanted: usize,
    /// How many had come by the deadline.
    pub got: usize,
}

/// How many of each kind are kept, the newest: some 20 MB.
pub(crate) const KEPT: usize = 10_000;

pub(crate) struct Store {
    kept: Mutex<Newest>,
    /// How many messages were received since the start or the last [`clear`](Self::clear).
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
        Self { kept: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Store {
    pub(crate) fn kept(&self) -> Kept {
        let newest = self.lock();
        Kept {
            received: newest.received.iter().cloned().collect(),
            dropped: newest.dropped.iter().cloned().collect(),
            read_receipts: newest.read_receipts.iter().cloned().collect(),
        }
    }

    pub(crate) fn count(&self) -> usize {
        let _newest = self.lock();
        *self.count.borrow()
    }

    /// What was received after the first `count`, as far as it is kept.
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
        // An error here is the deadline: the sender lives as long as `self`. A message that came at the
        // very last moment still counts, so the list decides and not the clock.
        let _ = tokio::time::timeout(within, count.wait_for(|count| *count >= wanted)).await;
        let got = self.count();
        if got < wanted {
            return Err(TooFew { wanted, got });
        }
        Ok(self.kept().received)
    }

    fn lock(&self) -> MutexGuard<'_, Newest> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add<T>(newest: &mut VecDeque<T>, item: T) {
    newest.push_back(item);
    if newest.len() > KEPT {
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
            quotes: None,
            trace: None,
            raw: Value::Null,
        }
    }

    #[tokio::test]
    async fn only_the_newest_are_kept_and_all_are_counted() {
        let store = Store::default();
        for n in 0..KEPT + 10 {
            store.add_received(received(n.to_string()));
            store.add_dropped(received(n.to_string()));
            store.add_read_receipt(receipt(n.to_string()));
        }
        let kept = store.kept();
        assert_eq!((kept.received.len(), kept.dropped.len(), kept.read_receipts.len()), (KEPT, KEPT, KEPT));
        assert_eq!((kept.received[0].id.as_str(), store.count()), ("10", KEPT + 10));
        assert_eq!(store.received_after(KEPT + 9).len(), 1);
        assert_eq!(store.received_after(0).len(), KEPT, "as many as are kept");
        assert_eq!(store.wait_for(KEPT + 10, Duration::ZERO).await.map(|kept| kept.len()), Ok(KEPT));
        store.clear();
        assert_eq!((store.count(), store.received_after(0).len()), (0, 0));
    }
}
