//! A message: as sent, as stored, as received.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::characters;
use crate::error::{Result, SqsError};
use crate::message_attributes::{self, MessageAttributes};
use crate::time::Timestamp;

/// 1 MiB: the size limit of a message, and of a batch of messages (SQS Developer Guide, "Message quotas").
pub const MAXIMUM_MESSAGE_SIZE: usize = 1_048_576;

/// The body of a message. `Debug` shows only its length, to keep bodies out of the logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(Arc<str>);

impl Body {
    /// The body as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for Body {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} bytes)", self.0.len())
    }
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The body.
    pub body: Body,
    /// Required on a FIFO queue.
    pub group_id: Option<String>,
    /// Required on a FIFO queue without content-based deduplication.
    pub deduplication_id: Option<String>,
    /// Seconds until the message can be received; standard queues only.
    pub delay_seconds: Option<u32>,
    /// Custom attributes set by the sender.
    pub attributes: MessageAttributes,
    /// `AWSTraceHeader` is the only one that SQS accepts.
    pub system_attributes: MessageAttributes,
}

impl NewMessage {
    /// A message with a body and nothing else.
    pub fn new(body: impl Into<Body>) -> Self {
        Self {
            body: body.into(),
            group_id: None,
            deduplication_id: None,
            delay_seconds: None,
            attributes: MessageAttributes::new(),
            system_attributes: MessageAttributes::new(),
        }
    }

    /// A message for a FIFO queue.
    pub fn fifo(body: impl Into<Body>, group_id: &str, deduplication_id: &str) -> Self {
        Self {
            group_id: Some(group_id.to_owned()),
            deduplication_id: Some(deduplication_id.to_owned()),
            ..Self::new(body)
        }
    }

    /// Bytes that count towards the size limits: body and attributes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.as_str().len() + message_attributes::size(&self.attributes)
    }

    /// Checks everything that does not depend on the queue.
    pub(crate) fn validate(&self) -> Result<()> {
        if self.body.as_str().is_empty() {
            return Err(SqsError::MissingParameter("MessageBody"));
        }
        characters::validate(self.body.as_str())?;
        for (name, value) in [
            ("MessageGroupId", self.group_id.as_deref()),
            ("MessageDeduplicationId", self.deduplication_id.as_deref()),
        ] {
            if let Some(value) = value {
                validate_fifo_id(name, value)?;
            }
        }
        message_attributes::validate(&self.attributes)?;
        if self.system_attributes.keys().any(|name| name != "AWSTraceHeader") {
            return Err(SqsError::InvalidParameterValue(
                "Message system attribute names must be AWSTraceHeader.".to_owned(),
            ));
        }
        message_attributes::validate(&self.system_attributes)
    }
}

/// 1 to 128 ASCII letters, digits and punctuation characters (API reference, SendMessage).
fn validate_fifo_id(parameter: &str, value: &str) -> Result<()> {
    if (1..=128).contains(&value.len()) && value.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(());
    }
    Err(SqsError::InvalidParameterValue(format!(
        "Value {value} for parameter {parameter} is invalid. Reason: {parameter} can only include alphanumeric and \
         punctuation characters. 1 to 128 in length."
    )))
}

/// A message in a queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: Uuid,
    pub(crate) body: Body,
    pub(crate) group_id: Option<Arc<str>>,
    pub(crate) deduplication_id: Option<Arc<str>>,
    pub(crate) attributes: Arc<MessageAttributes>,
    pub(crate) system_attributes: Arc<MessageAttributes>,
    /// Start of the retention period, and the value of `SentTimestamp`.
    pub(crate) sent_at: Timestamp,
    pub(crate) first_received_at: Option<Timestamp>,
    pub(crate) receive_count: u32,
    /// ARN of the source queue, on a dead letter.
    pub(crate) dead_letter_source: Option<Arc<str>>,
    pub(crate) state: State,
}

/// State of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Can be received; on a FIFO queue only while its group is not locked.
    Visible,
    /// Cannot be received before `until`.
    Delayed {
        /// End of the delay.
        until: Timestamp,
    },
    /// Received, and neither deleted nor made visible again.
    InFlight {
        /// Time of the receive.
        since: Timestamp,
        /// End of the visibility timeout.
        until: Timestamp,
        /// Whether the receiver has changed the visibility timeout, either to extend it or to postpone the
        /// retry.
        changed: bool,
    },
}

/// Result of a send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Message id; for a duplicate, that of the original message.
    pub message_id: Uuid,
    /// FIFO queues only.
    pub sequence_number: Option<String>,
}

/// Parameters of a receive.
#[derive(Clone, Copy, Debug)]
pub struct Receive {
    /// Number of messages, 1 to 10.
    pub maximum: usize,
    /// Overrides the queue's visibility timeout.
    pub visibility_timeout: Option<Duration>,
}

/// A message as delivered to a consumer.
#[derive(Clone, Debug)]
pub struct Received {
    /// Identifier of the message.
    pub message_id: Uuid,
    /// Receipt handle of this receive, for deleting the message or changing its visibility.
    pub receipt_handle: String,
    /// The body.
    pub body: Body,
    /// Custom attributes set by the sender.
    pub attributes: Arc<MessageAttributes>,
    /// The trace header, if the sender set one.
    pub system_attributes: Arc<MessageAttributes>,
    /// Message group.
    pub group_id: Option<Arc<str>>,
    /// Deduplication id: set by the sender, or the digest of the body.
    pub deduplication_id: Option<Arc<str>>,
    /// FIFO queues only.
    pub sequence_number: Option<String>,
    /// Number of receives, including this one.
    pub receive_count: u32,
    /// Time of the send.
    pub sent_at: Timestamp,
    /// Time of the first receive.
    pub first_received_at: Timestamp,
    /// ARN of the source queue, on a dead letter.
    pub dead_letter_source: Option<Arc<str>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_is_limited_to_xml_characters() {
        for text in ["tab\t", "line\r\n", "é", "\u{d7ff}", "\u{fffd}", "😀", "\u{7f}"] {
            assert_eq!(NewMessage::new(text).validate(), Ok(()), "{text:?}");
        }
        for text in ["\0", "\u{8}", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
            assert_eq!(NewMessage::new(text).validate(), Err(SqsError::InvalidMessageContents), "{text:?}");
        }
    }

    #[test]
    fn fifo_ids_are_1_to_128_printable_ascii_characters() {
        let valid = |id: &str| NewMessage::fifo("x", id, id).validate().is_ok();
        assert!(valid("a"));
        assert!(valid("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"));
        assert!(valid(&"a".repeat(128)));
        for id in ["", " ", "a b", "é", "\t", &"a".repeat(129)] {
            assert!(!valid(id), "{id:?}");
        }
    }

    #[test]
    fn debug_output_omits_the_body() {
        assert!(!format!("{:?}", NewMessage::new("Does it come in another color?")).contains("color"));
    }
}
