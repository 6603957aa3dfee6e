//! The inbound queue.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use shared::aws::{self, Timeouts, reason};

use crate::batches::Batch;
use crate::settings::QueueSettings;

/// Timeouts of a call: Meta waits for the response, and retries. All calls of a request also share a deadline.
const TIMEOUTS: Timeouts = Timeouts { call: Duration::from_secs(8), attempt: Duration::from_secs(3) };

/// The queue that receives accepted updates.
pub trait Queue: Send + Sync {
    /// Puts all entries of a batch on the queue.
    ///
    /// # Errors
    /// When not all of them were accepted; some may have been.
    fn send(&self, batch: Batch) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// Entries that the queue has not accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum QueueError {
    /// The whole call failed.
    #[error("SQS did not accept the batch: {0}")]
    Call(String),
    /// The call succeeded, but some of its entries were refused.
    #[error("SQS refused {refused} of {sent} entries: {code}")]
    Entries {
        /// The number of refused entries.
        refused: usize,
        /// The number of entries of the call.
        sent: usize,
        /// The error code of the first refused entry.
        code: String,
    },
    /// All calls of the request together exceeded the deadline. Calls in progress may have succeeded.
    #[error("SQS did not accept all batches before the deadline of the request")]
    Deadline,
}

/// Amazon SQS, or a service with the same protocol.
#[derive(Clone, Debug)]
pub struct Sqs {
    client: Client,
    queue_url: String,
}

impl Sqs {
    /// Builds the client over `http`; connections are opened on demand and reused.
    #[must_use]
    pub fn new(settings: &QueueSettings, http: &reqwest::Client) -> Self {
        Self { client: aws::sqs(&settings.sqs, TIMEOUTS, http), queue_url: settings.url.clone() }
    }
}

impl Queue for Sqs {
    async fn send(&self, batch: Batch) -> Result<(), QueueError> {
        let sent = batch.entries.len();
        let trace = aws::trace_attributes().map_err(|error| QueueError::Call(error.to_string()))?;
        let mut call = self.client.send_message_batch().queue_url(&self.queue_url);
        for (position, entry) in batch.entries.into_iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(position.to_string())
                .message_group_id(entry.message_group_id)
                .message_deduplication_id(entry.deduplication_id)
                .message_body(entry.body)
                .set_message_system_attributes(trace.clone())
                .build()
                .map_err(|error| QueueError::Call(error.to_string()))?;
            call = call.entries(entry);
        }
        let answer = call.send().await.map_err(|error| QueueError::Call(reason(&error)))?;
        match answer.failed() {
            // An entry in neither list was not accepted either.
            [] if answer.successful().len() == sent => Ok(()),
            failed => Err(QueueError::Entries {
                refused: sent - answer.successful().len().min(sent),
                sent,
                code: failed.first().map_or("no reason given", |entry| entry.code()).to_owned(),
            }),
        }
    }
}
