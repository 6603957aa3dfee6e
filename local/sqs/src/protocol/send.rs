//! `SendMessage`, `SendMessageBatch`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::batch::{self, BatchResult, Entry};
use super::{Context, required};
use crate::error::{Result, SqsError};
use crate::message::{MAXIMUM_MESSAGE_SIZE, NewMessage, Sent};
use crate::message_attributes::{
    AttributeContent, AttributeValue, MessageAttributes, md5_hex, md5_of_attributes,
};

/// An attribute's value in JSON; binary values are base64.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireAttribute {
    data_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
}

impl From<&AttributeValue> for WireAttribute {
    fn from(value: &AttributeValue) -> Self {
        let (string_value, binary_value) = match &value.content {
            AttributeContent::Text(text) => (Some(text.clone()), None),
            AttributeContent::Binary(bytes) => (None, Some(STANDARD.encode(bytes))),
        };
        Self { data_type: Some(value.data_type.clone()), string_value, binary_value }
    }
}

type WireAttributes = BTreeMap<String, WireAttribute>;

fn attributes(wire: WireAttributes) -> Result<MessageAttributes> {
    wire.into_iter()
        .map(|(name, value)| {
            let invalid = |what: &str| {
                SqsError::InvalidParameterValue(format!(
                    "The message attribute '{name}' must contain {what}."
                ))
            };
            let data_type = value
                .data_type
                .filter(|data_type| !data_type.is_empty())
                .ok_or_else(|| invalid("a non-empty message attribute type"))?;
            let content = match (value.string_value, value.binary_value) {
                (Some(text), None) => AttributeContent::Text(text),
                (None, Some(base64)) => AttributeContent::Binary(
                    STANDARD.decode(base64).map_err(|_| invalid("base64 in its binary value"))?,
                ),
                _ => return Err(invalid("exactly one value, of type 'String' or 'Binary'")),
            };
            Ok((name, AttributeValue { data_type, content }))
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SendMessageRequest {
    queue_url: Option<String>,
    #[serde(flatten)]
    message: WireMessage,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireMessage {
    message_body: Option<String>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
    delay_seconds: Option<i64>,
    #[serde(default)]
    message_attributes: WireAttributes,
    #[serde(default)]
    message_system_attributes: WireAttributes,
}

impl WireMessage {
    fn into_message(self) -> Result<NewMessage> {
        let delay_seconds = self.delay_seconds.map(|seconds| {
            u32::try_from(seconds).map_err(|_| {
                SqsError::invalid("DelaySeconds", seconds, "DelaySeconds must be >= 0 and <= 900.")
            })
        });
        Ok(NewMessage {
            body: required(self.message_body, "MessageBody")?.into(),
            group_id: self.message_group_id,
            deduplication_id: self.message_deduplication_id,
            delay_seconds: delay_seconds.transpose()?,
            attributes: attributes(self.message_attributes)?,
            system_attributes: attributes(self.message_system_attributes)?,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SentMessage {
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    md5_of_message_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_message_attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_message_system_attributes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
}

impl SentMessage {
    fn new(message: &NewMessage, sent: Sent) -> Self {
        Self {
            message_id: sent.message_id.to_string(),
            md5_of_message_body: md5_hex(message.body.as_str().as_bytes()),
            md5_of_message_attributes: md5_of_attributes(&message.attributes),
            md5_of_message_system_attributes: md5_of_attributes(&message.system_attributes),
            sequence_number: sent.sequence_number,
        }
    }
}

pub(super) fn one(context: &mut Context<'_>, request: SendMessageRequest) -> Result<SentMessage> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    let message = request.message.into_message()?;
    let sent = context.broker.send(context.now, &name, &message)?;
    Ok(SentMessage::new(&message, sent))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SendMessageBatchRequest {
    queue_url: Option<String>,
    #[serde(default)]
    entries: Vec<SendEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendEntry {
    id: Option<String>,
    #[serde(flatten)]
    message: WireMessage,
}

/// An entry with its parsed parameters; a parse error fails this entry, not the batch.
struct ParsedEntry {
    id: Option<String>,
    message: Result<NewMessage>,
}

impl Entry for ParsedEntry {
    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SentEntry {
    id: String,
    #[serde(flatten)]
    sent: SentMessage,
}

pub(super) fn batch(
    context: &mut Context<'_>,
    request: SendMessageBatchRequest,
) -> Result<BatchResult<SentEntry>> {
    let name = context.queue_at(request.queue_url.as_ref())?;
    let entries: Vec<ParsedEntry> = request
        .entries
        .into_iter()
        .map(|entry| ParsedEntry { id: entry.id, message: entry.message.into_message() })
        .collect();
    batch::validate(&entries)?;
    let sent: usize =
        entries.iter().filter_map(|entry| entry.message.as_ref().ok()).map(NewMessage::size).sum();
    if sent > MAXIMUM_MESSAGE_SIZE {
        return Err(SqsError::BatchRequestTooLong { limit: MAXIMUM_MESSAGE_SIZE, sent });
    }
    let Context { broker, now, refuse, .. } = context;
    Ok(batch::each(&entries, *refuse, |id, entry| {
        let message = entry.message.as_ref().map_err(Clone::clone)?;
        let sent = broker.send(*now, &name, message)?;
        Ok(SentEntry { id: id.to_owned(), sent: SentMessage::new(message, sent) })
    }))
}
