//! The attributes of a queue: their names, ranges and defaults (API reference, CreateQueue and
//! SetQueueAttributes).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::{Result, SqsError};
use crate::message::MAXIMUM_MESSAGE_SIZE;
use crate::redrive::{RedriveAllowPolicy, RedrivePolicy};

/// Attributes as the protocol transfers them.
pub type AttributeMap = BTreeMap<String, String>;

/// The longest visibility timeout: 12 hours.
pub(crate) const MAXIMUM_VISIBILITY_TIMEOUT: Duration = Duration::from_secs(43_200);

/// Attributes that are stored and have no effect.
const OPAQUE: [&str; 4] =
    ["Policy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled"];

/// Attributes that a client cannot set.
pub(crate) const READ_ONLY: [&str; 6] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];

/// Attributes of a queue that a client can set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueAttributes {
    /// Visibility timeout of a received message. 0 s to 12 h, default 30 s.
    pub visibility_timeout: Duration,
    /// Delay of a new message. 0 to 900 s.
    pub delay: Duration,
    /// Retention period of a message. 60 s to 14 days, default 4 days.
    pub retention: Duration,
    /// Default wait time of a receive. 0 to 20 s.
    pub receive_wait: Duration,
    /// Maximum size of a message in bytes. 1 KiB to 1 MiB.
    pub maximum_message_size: usize,
    /// Dead-letter queue and maximum receive count.
    pub redrive: Option<RedrivePolicy>,
    pub(crate) redrive_allow: Option<RedriveAllowPolicy>,
    /// Set on a FIFO queue only.
    pub fifo: Option<FifoAttributes>,
    opaque: AttributeMap,
}

/// Attributes of a FIFO queue only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FifoAttributes {
    /// The SHA-256 of the body is the deduplication id of a message without one.
    pub content_based_deduplication: bool,
    /// Deduplication ids are scoped to their message group (`DeduplicationScope` = `messageGroup`).
    pub deduplicates_per_group: bool,
    /// `FifoThroughputLimit` = `perMessageGroupId`. No effect: this queue has no throughput limit.
    pub limits_per_group: bool,
}

impl QueueAttributes {
    /// The defaults.
    pub fn new(fifo: bool) -> Self {
        Self {
            visibility_timeout: Duration::from_secs(30),
            delay: Duration::ZERO,
            retention: Duration::from_secs(345_600),
            receive_wait: Duration::ZERO,
            maximum_message_size: MAXIMUM_MESSAGE_SIZE,
            redrive: None,
            redrive_allow: None,
            fifo: fifo.then(FifoAttributes::default),
            opaque: AttributeMap::new(),
        }
    }

    /// Sets `attributes`.
    ///
    /// # Errors
    /// `InvalidAttributeName` and `InvalidAttributeValue`; some of the attributes may have been set by then.
    pub(crate) fn apply(&mut self, attributes: &AttributeMap) -> Result<()> {
        for (name, value) in attributes {
            self.apply_one(name, value)?;
        }
        match self.fifo {
            Some(fifo) if fifo.limits_per_group && !fifo.deduplicates_per_group => {
                Err(SqsError::InvalidAttributeValue("FifoThroughputLimit".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn apply_one(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "VisibilityTimeout" => self.visibility_timeout = seconds(name, value, 0, 43_200)?,
            "DelaySeconds" => self.delay = seconds(name, value, 0, 900)?,
            "MessageRetentionPeriod" => self.retention = seconds(name, value, 60, 1_209_600)?,
            "ReceiveMessageWaitTimeSeconds" => self.receive_wait = seconds(name, value, 0, 20)?,
            "MaximumMessageSize" => {
                let maximum = number(name, value, 1024, MAXIMUM_MESSAGE_SIZE as u64)?;
                self.maximum_message_size = usize::try_from(maximum).unwrap_or(MAXIMUM_MESSAGE_SIZE);
            }
            // An empty value removes the policy.
            "RedrivePolicy" => {
                self.redrive = (!value.is_empty()).then(|| RedrivePolicy::parse(value)).transpose()?;
            }
            "RedriveAllowPolicy" => {
                self.redrive_allow =
                    (!value.is_empty()).then(|| RedriveAllowPolicy::parse(value)).transpose()?;
            }
            "FifoQueue" => {
                if boolean(name, value)? != self.fifo.is_some() {
                    return Err(SqsError::InvalidAttributeValue(name.to_owned()));
                }
            }
            "ContentBasedDeduplication" => {
                self.fifo(name)?.content_based_deduplication = boolean(name, value)?
            }
            "DeduplicationScope" => {
                self.fifo(name)?.deduplicates_per_group = choice(name, value, ["queue", "messageGroup"])?;
            }
            "FifoThroughputLimit" => {
                self.fifo(name)?.limits_per_group = choice(name, value, ["perQueue", "perMessageGroupId"])?;
            }
            name if OPAQUE.contains(&name) => {
                self.opaque.insert(name.to_owned(), value.to_owned());
            }
            name => return Err(SqsError::InvalidAttributeName(name.to_owned())),
        }
        Ok(())
    }

    fn fifo(&mut self, name: &str) -> Result<&mut FifoAttributes> {
        self.fifo.as_mut().ok_or_else(|| SqsError::InvalidAttributeName(name.to_owned()))
    }

    /// The attributes as `GetQueueAttributes` returns them, without the message counts.
    pub(crate) fn render(&self) -> AttributeMap {
        let mut map = self.opaque.clone();
        let mut set = |name: &str, value: String| map.insert(name.to_owned(), value);
        set("VisibilityTimeout", self.visibility_timeout.as_secs().to_string());
        set("DelaySeconds", self.delay.as_secs().to_string());
        set("MessageRetentionPeriod", self.retention.as_secs().to_string());
        set("ReceiveMessageWaitTimeSeconds", self.receive_wait.as_secs().to_string());
        set("MaximumMessageSize", self.maximum_message_size.to_string());
        if let Some(redrive) = &self.redrive {
            set("RedrivePolicy", redrive.render());
        }
        if let Some(redrive_allow) = &self.redrive_allow {
            set("RedriveAllowPolicy", redrive_allow.render());
        }
        if let Some(fifo) = self.fifo {
            set("FifoQueue", "true".to_owned());
            set("ContentBasedDeduplication", fifo.content_based_deduplication.to_string());
            let scope = if fifo.deduplicates_per_group { "messageGroup" } else { "queue" };
            set("DeduplicationScope", scope.to_owned());
            let limit = if fifo.limits_per_group { "perMessageGroupId" } else { "perQueue" };
            set("FifoThroughputLimit", limit.to_owned());
        }
        map
    }
}

/// Whether SQS has an attribute of this name, on any type of queue.
pub(crate) fn is_known(name: &str) -> bool {
    let rendered = QueueAttributes::new(true).render();
    rendered.contains_key(name)
        || READ_ONLY.contains(&name)
        || OPAQUE.contains(&name)
        || matches!(name, "RedrivePolicy" | "RedriveAllowPolicy")
}

fn number(name: &str, value: &str, minimum: u64, maximum: u64) -> Result<u64> {
    value
        .parse()
        .ok()
        .filter(|number| (minimum..=maximum).contains(number))
        .ok_or_else(|| SqsError::InvalidAttributeValue(name.to_owned()))
}

fn seconds(name: &str, value: &str, minimum: u64, maximum: u64) -> Result<Duration> {
    number(name, value, minimum, maximum).map(Duration::from_secs)
}

fn boolean(name: &str, value: &str) -> Result<bool> {
    match value {
        _ if value.eq_ignore_ascii_case("true") => Ok(true),
        _ if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(SqsError::InvalidAttributeValue(name.to_owned())),
    }
}

/// Whether `value` is the second of two choices.
fn choice(name: &str, value: &str, choices: [&str; 2]) -> Result<bool> {
    choices
        .iter()
        .position(|choice| *choice == value)
        .map(|position| position == 1)
        .ok_or_else(|| SqsError::InvalidAttributeValue(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(fifo: bool, name: &str, value: &str) -> Result<QueueAttributes> {
        let mut attributes = QueueAttributes::new(fifo);
        attributes.apply(&AttributeMap::from([(name.to_owned(), value.to_owned())]))?;
        Ok(attributes)
    }

    #[test]
    fn out_of_range_values_are_rejected() {
        for (name, valid, invalid) in [
            ("VisibilityTimeout", ["0", "43200"], ["-1", "43201"]),
            ("DelaySeconds", ["0", "900"], ["", "901"]),
            ("MessageRetentionPeriod", ["60", "1209600"], ["59", "1209601"]),
            ("ReceiveMessageWaitTimeSeconds", ["0", "20"], ["x", "21"]),
            ("MaximumMessageSize", ["1024", "1048576"], ["1023", "1048577"]),
        ] {
            for value in valid {
                let attributes = apply(false, name, value).expect("valid");
                assert_eq!(attributes.render().get(name).map(String::as_str), Some(value));
            }
            for value in invalid {
                let error = apply(false, name, value);
                assert_eq!(error, Err(SqsError::InvalidAttributeValue(name.to_owned())), "{value}");
            }
        }
    }

    #[test]
    fn fifo_attributes_are_rejected_on_standard_queues() {
        assert!(apply(true, "ContentBasedDeduplication", "true").is_ok());
        assert!(apply(true, "DeduplicationScope", "messageGroup").is_ok());
        assert!(apply(true, "FifoThroughputLimit", "perMessageGroupId").is_err(), "needs the scope");
        assert!(apply(false, "ContentBasedDeduplication", "true").is_err());
        assert!(apply(true, "FifoQueue", "false").is_err());
        assert!(apply(true, "Misspelt", "1").is_err());
    }
}
