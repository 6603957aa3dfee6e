//! What `reply` tells the queues that it is fed from.

use std::time::Duration;

use aws_sdk_sqs::Client;
use shared::sqs::{self, SqsSettings, Timeouts, reason};

/// How long calls may take. A message's budget counts on it: see [`crate::batch::MESSAGE_BUDGET`].
const TIMEOUTS: Timeouts = Timeouts {
    call: Duration::from_secs(3),
    attempt: Duration::from_millis(1400),
    connect: Duration::from_secs(1),
};

/// The queues: SQS, or a model of it.
pub trait Queues: Send + Sync {
    /// Hides a received message for `delay` from now; zero shows it again.
    ///
    /// # Errors
    /// When the queue does not confirm it. The message then comes back after its visibility timeout.
    fn set_back(
        &self,
        queue: Queue,
        receipt_handle: &str,
        delay: Duration,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Puts a body on the record queue.
    ///
    /// # Errors
    /// When the queue does not confirm it.
    fn record_later(&self, body: String) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// The two queues that feed `reply`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Queue {
    /// FIFO: messages, in the order of each sender.
    Inbound,
    /// Standard: rows that could not be written yet, and messages that were set aside.
    Records,
}

/// A call that the queue did not confirm.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("SQS: {0}")]
pub struct QueueError(pub String);

/// Where the queues are.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// `INBOUND_QUEUE_URL`.
    pub inbound_url: String,
    /// `RECORD_QUEUE_URL`.
    pub records_url: String,
    /// How to reach SQS.
    pub sqs: SqsSettings,
}

/// Amazon SQS, or what speaks its protocol.
#[derive(Clone, Debug)]
pub struct Sqs {
    client: Client,
    inbound_url: String,
    records_url: String,
}

impl Sqs {
    /// Builds the client; connections are opened when they are needed, and kept.
    #[must_use]
    pub fn new(settings: QueueSettings) -> Self {
        let client = sqs::client(&settings.sqs, TIMEOUTS);
        Self { client, inbound_url: settings.inbound_url, records_url: settings.records_url }
    }
}

impl Queues for Sqs {
    async fn set_back(&self, queue: Queue, receipt_handle: &str, delay: Duration) -> Result<(), QueueError> {
        let url = match queue {
            Queue::Inbound => &self.inbound_url,
            Queue::Records => &self.records_url,
        };
        let call = self.client.change_message_visibility().queue_url(url).receipt_handle(receipt_handle);
        let seconds = i32::try_from(delay.as_secs()).unwrap_or(i32::MAX);
        call.visibility_timeout(seconds).send().await.map_err(|error| QueueError(reason(&error)))?;
        Ok(())
    }

    async fn record_later(&self, body: String) -> Result<(), QueueError> {
        let call = self.client.send_message().queue_url(&self.records_url).message_body(body);
        call.send().await.map_err(|error| QueueError(reason(&error)))?;
        Ok(())
    }
}
