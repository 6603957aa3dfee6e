//! What `reply` tells the queues that it is fed from.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use shared::aws::{self, AwsSettings, Timeouts, reason};
use shared::deadline::Deadline;

use crate::delivery::Delivery;

/// How long calls may take. A message's budget counts on it: see [`crate::batch::MESSAGE_BUDGET`].
pub const TIMEOUTS: Timeouts =
    Timeouts { call: Duration::from_secs(3), attempt: Duration::from_millis(1400) };

/// The attribute of a dead letter that says why it is one.
pub const CAUSE: &str = "cause";

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

    /// Puts a message on the dead-letter queue of the queue that it came from, with the cause, which must hold
    /// no personal data.
    ///
    /// SQS would move it there too, after more receives than [`Queue::tries`], but without a cause, and with
    /// all messages that were received as often because they stood behind it in its group.
    ///
    /// # Errors
    /// When the queue does not confirm it.
    fn give_up(
        &self,
        delivery: &Delivery,
        cause: &str,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// The two queues that feed `reply`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Queue {
    /// FIFO: messages, in the order of each sender.
    Inbound,
    /// Standard: rows that could not be written yet, and messages that were set aside.
    Records,
}

impl Queue {
    /// Receives after which a message that fails again is given up. `RedrivePolicy` allows more, for messages
    /// that were received as often only because they stood behind another.
    #[must_use]
    pub const fn tries(self) -> u32 {
        match self {
            Self::Inbound => 50,
            Self::Records => 100,
        }
    }
}

/// A call that the queue did not confirm.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("SQS: {0}")]
pub struct QueueError(pub String);

/// Waits for a call as long as calls may take, and not beyond `deadline`.
pub(crate) async fn within(
    deadline: Deadline,
    call: impl Future<Output = Result<(), QueueError>>,
) -> Result<(), QueueError> {
    let called = deadline.run(TIMEOUTS.call, call).await;
    called.unwrap_or_else(|_| Err(QueueError("no answer in the time left".to_owned())))
}

/// Where the queues are.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// `INBOUND_QUEUE_URL`.
    pub inbound_url: String,
    /// `INBOUND_DEAD_LETTERS_URL`.
    pub inbound_dead_letters_url: String,
    /// `RECORD_QUEUE_URL`.
    pub records_url: String,
    /// `RECORD_DEAD_LETTERS_URL`.
    pub record_dead_letters_url: String,
    /// How to reach SQS.
    pub sqs: AwsSettings,
}

/// Amazon SQS, or what speaks its protocol.
#[derive(Clone, Debug)]
pub struct Sqs {
    client: Client,
    settings: QueueSettings,
}

impl Sqs {
    /// Builds the client over `http`; connections are opened when they are needed, and kept.
    #[must_use]
    pub fn new(settings: QueueSettings, http: &reqwest::Client) -> Self {
        Self { client: aws::sqs(&settings.sqs, TIMEOUTS, http), settings }
    }
}

impl Queues for Sqs {
    async fn set_back(&self, queue: Queue, receipt_handle: &str, delay: Duration) -> Result<(), QueueError> {
        let url = match queue {
            Queue::Inbound => &self.settings.inbound_url,
            Queue::Records => &self.settings.records_url,
        };
        let call = self.client.change_message_visibility().queue_url(url).receipt_handle(receipt_handle);
        let seconds = i32::try_from(delay.as_secs()).unwrap_or(i32::MAX);
        call.visibility_timeout(seconds).send().await.map_err(|error| QueueError(reason(&error)))?;
        Ok(())
    }

    async fn record_later(&self, body: String) -> Result<(), QueueError> {
        let call = self.client.send_message().queue_url(&self.settings.records_url).message_body(body);
        let trace = aws::trace_attributes().map_err(|error| QueueError(error.to_string()))?;
        let call = call.set_message_system_attributes(trace);
        call.send().await.map_err(|error| QueueError(reason(&error)))?;
        Ok(())
    }

    async fn give_up(&self, delivery: &Delivery, cause: &str) -> Result<(), QueueError> {
        let attribute = MessageAttributeValue::builder().data_type("String").string_value(cause);
        let attribute = attribute.build().map_err(|error| QueueError(error.to_string()))?;
        let call =
            self.client.send_message().message_body(&delivery.body).message_attributes(CAUSE, attribute);
        let trace = aws::trace_attributes().map_err(|error| QueueError(error.to_string()))?;
        let call = call.set_message_system_attributes(trace);
        let call = match delivery.queue {
            // The same group: they stay in order there, too. Of two attempts to give up one is enough.
            Queue::Inbound => call
                .queue_url(&self.settings.inbound_dead_letters_url)
                .message_group_id(delivery.group.as_deref().unwrap_or(&delivery.message_id))
                .message_deduplication_id(&delivery.message_id),
            Queue::Records => call.queue_url(&self.settings.record_dead_letters_url),
        };
        call.send().await.map_err(|error| QueueError(reason(&error)))?;
        Ok(())
    }
}
