//! What the stand-in keeps.

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

/// Everything kept; also what `GET /received` answers.
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

pub(crate) struct Store {
    kept: Mutex<Kept>,
    /// The length of `kept.received`.
    count: watch::Sender<usize>,
}

impl Default for Store {
    fn default() -> Self {
        Self { kept: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Store {
    pub(crate) fn kept(&self) -> Kept {
        self.lock().clone()
    }

    pub(crate) fn add_received(&self, message: Received) {
        let mut kept = self.lock();
        kept.received.push(message);
        self.count.send_replace(kept.received.len());
    }

    pub(crate) fn add_dropped(&self, message: Received) {
        self.lock().dropped.push(message);
    }

    pub(crate) fn add_read_receipt(&self, receipt: ReadReceipt) {
        self.lock().read_receipts.push(receipt);
    }

    pub(crate) fn clear(&self) {
        let mut kept = self.lock();
        *kept = Kept::default();
        self.count.send_replace(0);
    }

    pub(crate) async fn wait_for(&self, wanted: usize, within: Duration) -> Result<Vec<Received>, TooFew> {
        let mut count = self.count.subscribe();
        // An error here is the deadline: the sender lives as long as `self`. A message that came at the
        // very last moment still counts, so the list decides and not the clock.
        let _ = tokio::time::timeout(within, count.wait_for(|count| *count >= wanted)).await;
        let received = self.kept().received;
        if received.len() < wanted {
            return Err(TooFew { wanted, got: received.len() });
        }
        Ok(received)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
