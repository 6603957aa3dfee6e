//! `ReceiveMessage`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::queue_name;
use super::send::WireAttribute;
use crate::broker::Broker;
use crate::error::{Result, SqsError};
use crate::message::{Receive, Received};
use crate::message_attributes::{AttributeContent, md5_hex, md5_of_attributes};
use crate::time::Timestamp;

/// `ReceiveRequestAttemptId` is accepted and has no effect, like every unknown parameter.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceiveRequest {
    queue_url: Option<String>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
}

const SYSTEM_ATTRIBUTES: [&str; 9] = [
    "AWSTraceHeader",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
    "SequenceNumber",
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceiveResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<WireReceived>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WireReceived {
    message_id: String,
    receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    md5_of_body: String,
    body: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_message_attributes: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: BTreeMap<String, WireAttribute>,
}

impl ReceiveRequest {
    /// Validates the request and returns its wait time.
    pub(crate) fn wait(&self, broker: &Broker) -> Result<Duration> {
        let queue = broker.queue(queue_name(self.queue_url.as_ref())?)?;
        self.receive()?;
        let unknown = self.system_names().find(|name| *name != "All" && !SYSTEM_ATTRIBUTES.contains(name));
        if let Some(name) = unknown {
            return Err(SqsError::InvalidAttributeName(name.to_owned()));
        }
        match self.wait_time_seconds {
            None => Ok(queue.attributes.receive_wait),
            Some(seconds) => {
                number("WaitTimeSeconds", seconds, 0, 20).map(|seconds| Duration::from_secs(seconds.into()))
            }
        }
    }

    fn receive(&self) -> Result<Receive> {
        let maximum = number("MaxNumberOfMessages", self.max_number_of_messages.unwrap_or(1), 1, 10)?;
        let timeout = self.visibility_timeout.map(|seconds| number("VisibilityTimeout", seconds, 0, 43_200));
        Ok(Receive {
            maximum: maximum as usize,
            visibility_timeout: timeout.transpose()?.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }

    /// Receives the available messages, possibly none.
    pub(crate) fn perform(&self, broker: &mut Broker, now: Timestamp) -> Result<Vec<Received>> {
        broker.receive(now, queue_name(self.queue_url.as_ref())?, &self.receive()?)
    }

    /// The response, with the requested attributes.
    pub(crate) fn result(&self, received: Vec<Received>) -> ReceiveResult {
        ReceiveResult { messages: received.iter().map(|message| self.wire(message)).collect() }
    }

    fn system_names(&self) -> impl Iterator<Item = &str> {
        self.attribute_names.iter().chain(&self.message_system_attribute_names).map(String::as_str)
    }

    fn wire(&self, message: &Received) -> WireReceived {
        let wanted: Vec<_> =
            message.attributes.iter().filter(|(name, _)| self.wants_attribute(name)).collect();
        WireReceived {
            message_id: message.message_id.to_string(),
            receipt_handle: message.receipt_handle.clone(),
            md5_of_body: md5_hex(message.body.as_str().as_bytes()),
            body: message.body.as_str().to_owned(),
            attributes: SYSTEM_ATTRIBUTES
                .into_iter()
                .filter(|name| self.system_names().any(|wanted| wanted == "All" || wanted == *name))
                .filter_map(|name| Some((name, system_attribute(message, name)?)))
                .collect(),
            md5_of_message_attributes: md5_of_attributes(wanted.iter().copied()),
            message_attributes: wanted
                .into_iter()
                .map(|(name, value)| (name.clone(), value.into()))
                .collect(),
        }
    }

    /// By name, by `prefix.*`, or all.
    fn wants_attribute(&self, name: &str) -> bool {
        self.message_attribute_names.iter().any(|wanted| match wanted.strip_suffix(".*") {
            Some(prefix) => name.starts_with(prefix),
            None => wanted == "All" || wanted == name,
        })
    }
}

fn system_attribute(message: &Received, name: &str) -> Option<String> {
    match name {
        "AWSTraceHeader" => match &message.system_attributes.get(name)?.content {
            AttributeContent::Text(text) => Some(text.clone()),
            AttributeContent::Binary(_) => None,
        },
        "ApproximateFirstReceiveTimestamp" => Some(message.first_received_at.as_millis().to_string()),
        "ApproximateReceiveCount" => Some(message.receive_count.to_string()),
        "DeadLetterQueueSourceArn" => message.dead_letter_source.as_deref().map(str::to_owned),
        "MessageDeduplicationId" => message.deduplication_id.as_deref().map(str::to_owned),
        "MessageGroupId" => message.group_id.as_deref().map(str::to_owned),
        "SenderId" => Some(crate::broker::ACCOUNT.to_owned()),
        "SentTimestamp" => Some(message.sent_at.as_millis().to_string()),
        "SequenceNumber" => message.sequence_number.clone(),
        _ => None,
    }
}

/// A number within bounds that fit 32 bits.
pub(super) fn number(parameter: &str, value: i64, minimum: u32, maximum: u32) -> Result<u32> {
    u32::try_from(value).ok().filter(|number| (minimum..=maximum).contains(number)).ok_or_else(|| {
        let reason = format!("Must be between {minimum} and {maximum}, if provided.");
        SqsError::invalid(parameter, value, &reason)
    })
}
