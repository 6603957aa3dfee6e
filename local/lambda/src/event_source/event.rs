//! The SQS event: messages as the input of a function.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::function::REQUEST_LIMIT;

const START: &str = r#"{"Records":["#;
const END: &str = "]}";

/// Source fields of every record: the queue's ARN and region.
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

/// A message and its JSON record.
pub(super) struct Record<'m> {
    pub message: &'m Message,
    json: String,
}

impl<'m> Record<'m> {
    pub(super) fn new(message: &'m Message, source: &Source) -> Self {
        Self { message, json: record(message, source).to_string() }
    }
}

/// Number of leading records that fit one event, at least one.
pub(super) fn fitting(records: &[Record<'_>]) -> usize {
    let mut size = START.len() + END.len();
    let fitting = records.iter().take_while(|record| {
        // Plus a comma; the last record has none, so this counts one byte too many.
        size += record.json.len() + 1;
        size <= REQUEST_LIMIT
    });
    fitting.count().max(1)
}

pub(super) fn build(records: &[Record<'_>]) -> String {
    let records: Vec<&str> = records.iter().map(|record| record.json.as_str()).collect();
    format!("{START}{}{END}", records.join(","))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_is_limited_by_size_with_at_least_one_record() {
        let message = |length: usize| Message::builder().body("x".repeat(length)).build();
        let source = Source::new("arn:aws:sqs:us-east-1:000000000000:queue");
        let overhead = build(&[Record::new(&message(0), &source)]).len();
        for (lengths, expected) in [
            (vec![1, 1], 2),
            (vec![REQUEST_LIMIT / 2 - overhead, REQUEST_LIMIT / 2 - overhead, 1024], 2),
            (vec![REQUEST_LIMIT, 1], 1),
        ] {
            let messages: Vec<Message> = lengths.iter().map(|length| message(*length)).collect();
            let records: Vec<Record<'_>> = messages.iter().map(|one| Record::new(one, &source)).collect();
            let fitting = fitting(&records);
            assert_eq!(fitting, expected, "{lengths:?}");
            if fitting > 1 {
                assert!(build(&records[..fitting]).len() <= REQUEST_LIMIT);
            }
        }
    }
}
