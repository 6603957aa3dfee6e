//! Calls to SQS for the queues that feed `reply`, and their dead-letter queues.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use shared::aws::{self, AwsSettings, Timeouts, reason};
use shared::lambda::deadline::Deadline;

use crate::delivery::{Delivery, Source};

/// Timeouts of calls to SQS. A message's budget includes them: see [`crate::budget::MESSAGE_BUDGET`].
pub const TIMEOUTS: Timeouts =
    Timeouts { call: Duration::from_secs(3), attempt: Duration::from_millis(1400) };

/// The message attribute of a dead letter with the cause.
pub const CAUSE: &str = "cause";

/// Operations on the queues, implemented by SQS and by a model of it.
pub trait QueueClient: Send + Sync {
    /// Hides a received message for `delay` from now; zero makes it visible at once.
    ///
    /// # Errors
    /// When the queue does not confirm it. The message is then redelivered after its visibility timeout.
    fn change_visibility(
        &self,
        source: Source,
        receipt_handle: &str,
        delay: Duration,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Puts an envelope's body on the record queue, where it is delivered after `delay`, in whole seconds.
    ///
    /// # Errors
    /// When the queue does not confirm it.
    fn record_later(
        &self,
        body: String,
        delay: Duration,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Returns whether the record queue responds.
    ///
    /// # Errors
    /// When it does not.
    fn check_records(&self) -> impl Future<Output = Result<(), QueueError>> + Send;

    /// Puts a message on the dead-letter queue of its source, with the cause, which must not contain personal data.
    ///
    /// SQS would move it there too, after more receives than
    /// [`Source::max_receives`](crate::delivery::Source::max_receives), but without a cause, and together with all
    /// messages that were received as often because they were behind it in its group.
    ///
    /// # Errors
    /// When the queue does not confirm it.
    fn dead_letter(
        &self,
        delivery: &Delivery,
        cause: &str,
    ) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// A call that the queue did not confirm.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("SQS: {0}")]
pub struct QueueError(pub String);

/// Limits a call to its timeout and to `deadline`.
pub(crate) async fn within(
    deadline: Deadline,
    call: impl Future<Output = Result<(), QueueError>>,
) -> Result<(), QueueError> {
    let called = deadline.run(TIMEOUTS.call, call).await;
    called.unwrap_or_else(|_| Err(QueueError("no response in the time left".to_owned())))
}

/// The queues' URLs, and access to SQS.
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
    /// Endpoint, region and credentials of SQS.
    pub sqs: AwsSettings,
}

/// A client of Amazon SQS, or of a server with its protocol.
#[derive(Clone, Debug)]
pub struct Sqs {
    client: Client,
    settings: QueueSettings,
}

impl Sqs {
    /// Builds the client over `http`. Connections are opened on demand and reused.
    #[must_use]
    pub fn new(settings: QueueSettings, http: &reqwest::Client) -> Self {
        Self { client: aws::sqs(&settings.sqs, TIMEOUTS, http), settings }
    }
}

impl QueueClient for Sqs {
    async fn change_visibility(
        &self,
        source: Source,
        receipt_handle: &str,
        delay: Duration,
    ) -> Result<(), QueueError> {
        let url = match source {
            Source::Inbound => &self.settings.inbound_url,
            Source::Records => &self.settings.records_url,
        };
        let call = self.client.change_message_visibility().queue_url(url).receipt_handle(receipt_handle);
        let seconds = i32::try_from(delay.as_secs()).unwrap_or(i32::MAX);
        call.visibility_timeout(seconds).send().await.map_err(|error| QueueError(reason(&error)))?;
        Ok(())
    }

    async fn record_later(&self, body: String, delay: Duration) -> Result<(), QueueError> {
        let call = self.client.send_message().queue_url(&self.settings.records_url).message_body(body);
        // At most 900.
        let seconds = i32::try_from(delay.as_secs()).ok().filter(|seconds| *seconds > 0);
        let call = call.set_delay_seconds(seconds);
        let trace = aws::trace_attributes().map_err(|error| QueueError(error.to_string()))?;
        let call = call.set_message_system_attributes(trace);
        call.send().await.map_err(|error| QueueError(reason(&error)))?;
        Ok(())
    }

    async fn check_records(&self) -> Result<(), QueueError> {
        let call = self.client.get_queue_attributes().queue_url(&self.settings.records_url);
        let call = call.attribute_names(QueueAttributeName::QueueArn);
        call.send().await.map_err(|error| QueueError(reason(&error)))?;
        Ok(())
    }

    async fn dead_letter(&self, delivery: &Delivery, cause: &str) -> Result<(), QueueError> {
        let attribute = MessageAttributeValue::builder().data_type("String").string_value(cause);
        let attribute = attribute.build().map_err(|error| QueueError(error.to_string()))?;
        let call =
            self.client.send_message().message_body(&delivery.body).message_attributes(CAUSE, attribute);
        let trace = aws::trace_attributes().map_err(|error| QueueError(error.to_string()))?;
        let call = call.set_message_system_attributes(trace);
        let call = match delivery.source {
            // The same message group preserves the order. The deduplication id drops a duplicate of the message.
            Source::Inbound => call
                .queue_url(&self.settings.inbound_dead_letters_url)
                .message_group_id(delivery.group.as_deref().unwrap_or(&delivery.message_id))
                .message_deduplication_id(&delivery.message_id),
            Source::Records => call.queue_url(&self.settings.record_dead_letters_url),
        };
        call.send().await.map_err(|error| QueueError(reason(&error)))?;
        Ok(())
    }
}
