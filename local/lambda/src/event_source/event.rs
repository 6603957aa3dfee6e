//! Messages as the event that a function gets.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The queue, as every record names it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    arn: String,
    region: String,
}

impl Source {
    pub(super) fn new(arn: &str) -> Self {
        // arn:aws:sqs:REGION:ACCOUNT:NAME
        let region = arn.split(':').nth(3).unwrap_or_default().to_owned();
        Self { arn: arn.to_owned(), region }
    }
}

pub(super) fn build(messages: &[Message], source: &Source) -> Value {
    let records: Vec<_> = messages.iter().map(|message| record(message, source)).collect();
    json!({ "Records": records })
}

fn record(message: &Message, source: &Source) -> Value {
    let attributes: BTreeMap<_, _> =
        message.attributes().into_iter().flatten().map(|(name, value)| (name.as_str(), value)).collect();
    let message_attributes: BTreeMap<_, _> = message
        .message_attributes()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name, message_attribute(value)))
        .collect();
    let mut record = json!({
        "messageId": message.message_id(),
        "receiptHandle": message.receipt_handle(),
        "body": message.body(),
        "attributes": attributes,
        "messageAttributes": message_attributes,
        "md5OfBody": message.md5_of_body(),
        "eventSource": "aws:sqs",
        "eventSourceARN": source.arn,
        "awsRegion": source.region,
    });
    if let Some(md5) = message.md5_of_message_attributes() {
        record["md5OfMessageAttributes"] = json!(md5);
    }
    record
}

fn message_attribute(value: &MessageAttributeValue) -> Value {
    let mut attribute =
        json!({"stringListValues": [], "binaryListValues": [], "dataType": value.data_type()});
    if let Some(text) = value.string_value() {
        attribute["stringValue"] = json!(text);
    }
    if let Some(binary) = value.binary_value() {
        attribute["binaryValue"] = json!(STANDARD.encode(binary));
    }
    attribute
}
