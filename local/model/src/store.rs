//! Storage of the valid requests.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::request::Message;

/// Maximum number stored, the newest.
const MAXIMUM_STORED: usize = 1_000;

/// A valid request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Received {
    /// Time of arrival.
    pub at: DateTime<Utc>,
    /// The bearer token.
    pub api_key: Option<String>,
    /// The model asked for.
    pub model: String,
    /// All messages, in their order.
    pub messages: Vec<Message>,
    /// Whether the model has produced an answer, which is billed whether it arrives or not.
    pub billed: bool,
    /// Body of the request.
    pub raw: Value,
}

/// Fewer requests than expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} of {wanted} requests came in time")]
pub struct TooFew {
    /// Number of expected requests.
    pub wanted: usize,
    /// Number of requests by the deadline.
    pub got: usize,
}

pub(crate) struct Store {
    newest: Mutex<VecDeque<Received>>,
    /// Number of requests since the start or the last [`clear`](Self::clear).
    count: watch::Sender<usize>,
}

impl Default for Store {
    fn default() -> Self {
        Self { newest: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Store {
    pub(crate) fn received(&self) -> Vec<Received> {
        self.lock().iter().cloned().collect()
    }

    /// Adds a request and returns its number.
    pub(crate) fn add(&self, received: Received) -> usize {
        let mut newest = self.lock();
        newest.push_back(received);
        if newest.len() > MAXIMUM_STORED {
            newest.pop_front();
        }
        self.count.send_modify(|count| *count += 1);
        *self.count.borrow()
    }

    pub(crate) fn clear(&self) {
        let mut newest = self.lock();
        newest.clear();
        self.count.send_replace(0);
    }

    pub(crate) async fn wait_for(&self, wanted: usize, within: Duration) -> Result<Vec<Received>, TooFew> {
        let mut count = self.count.subscribe();
        // An error here is the deadline: the sender lives as long as `self`. The list decides instead of the clock.
        let _ = tokio::time::timeout(within, count.wait_for(|count| *count >= wanted)).await;
        let got = *self.count.borrow();
        if got < wanted { Err(TooFew { wanted, got }) } else { Ok(self.received()) }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Received>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_newest_are_stored_and_all_are_counted() {
        let store = Store::default();
        for number in 0..MAXIMUM_STORED + 10 {
            let (at, model, messages) = (Utc::now(), number.to_string(), Vec::new());
            let received = Received { at, api_key: None, model, messages, billed: true, raw: Value::Null };
            assert_eq!(store.add(received), number + 1);
        }
        let stored = store.wait_for(MAXIMUM_STORED + 10, Duration::ZERO).await.expect("all were counted");
        assert_eq!((stored.len(), stored[0].model.as_str()), (MAXIMUM_STORED, "10"));
        store.clear();
        assert_eq!(store.wait_for(1, Duration::ZERO).await, Err(TooFew { wanted: 1, got: 0 }));
    }
}
