//! The functions' events.

use chrono::{TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::meta::envelope::{Envelope, ReceivedMessage, V1};
use shared::meta::sender::Sender;
use webhook::signature::{AppSecret, HEADER};

use local_stack::services::{APP_SECRET, PHONE_NUMBER_ID};

/// A typical message text.
const TEXT: &str = "Does it come in another color?";

/// Returns a user's number, by its position.
fn number(n: usize) -> String {
    format!("1650{n:07}")
}

/// Returns a message in Meta's format, of the sender at this position.
fn message(n: usize, text: &str) -> Value {
    let wamid = format!("wamid.HQsLMTY1MDU1NTEyMzQVAgASGBQ{n:020}AA=");
    json!({"from": number(n), "id": wamid, "timestamp": Utc::now().timestamp().to_string(),
        "text": {"body": text}, "type": "text"})
}

/// Returns the body of a POST with `messages` messages, each of another sender and with a text of `text` bytes (or the
/// typical text); numbered from `first` on, so that no message is repeated.
#[must_use]
pub fn payload(first: usize, messages: usize, text: Option<usize>) -> String {
    let text =
        text.map_or_else(|| TEXT.to_owned(), |bytes| "Does it? ".chars().cycle().take(bytes).collect());
    let all = first..first + messages;
    let contacts: Vec<Value> =
        all.clone().map(|n| json!({"profile": {"name": "Sheena Nelson"}, "wa_id": number(n)})).collect();
    let messages: Vec<Value> = all.map(|n| message(n, &text)).collect();
    let value = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": PHONE_NUMBER_ID},
        "contacts": contacts, "messages": messages});
    let changes = json!([{"value": value, "field": "messages"}]);
    json!({"object": "whatsapp_business_account", "entry": [{"id": "419561257915477", "changes": changes}]})
        .to_string()
}

/// Returns a signed POST of `body`, in API Gateway's format.
#[must_use]
pub fn webhook(body: &str) -> String {
    let signature = AppSecret::new(&SecretString::from(APP_SECRET)).sign(body.as_bytes());
    let headers = json!({"content-type": "application/json", "content-length": body.len().to_string(),
        "user-agent": "facebookexternalua", HEADER: signature});
    let mut event = request("POST", "/webhook", "", headers);
    event["body"] = body.into();
    event.to_string()
}

/// Returns a GET of a page of `rows` rows.
#[must_use]
pub fn messages(rows: usize) -> String {
    // The function does not check the token: Supabase does.
    let token = format!("Bearer {}.{}.{}", "a".repeat(36), "b".repeat(300), "c".repeat(43));
    let headers = json!({"accept": "application/json", "authorization": token, "user-agent": "bench"});
    let query = format!("limit={rows}");
    let mut event = request("GET", "/messages", &query, headers);
    event["queryStringParameters"] = json!({"limit": rows.to_string()});
    event.to_string()
}

/// Returns a request in API Gateway's format 2.0. Source: “Create AWS Lambda proxy integrations for HTTP APIs”.
fn request(method: &str, path: &str, query: &str, mut headers: Value) -> Value {
    let host = "abcdefghij.execute-api.us-east-1.amazonaws.com";
    for (name, value) in [
        ("accept", "*/*"),
        ("host", host),
        ("x-amzn-trace-id", "Root=1-6b04fedc-000000000000000000000001"),
        ("x-forwarded-for", "203.0.113.10"),
        ("x-forwarded-port", "443"),
        ("x-forwarded-proto", "https"),
    ] {
        headers[name] = value.into();
    }
    json!({
        "version": "2.0", "routeKey": format!("{method} {path}"), "rawPath": path, "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "000000000000", "apiId": "abcdefghij", "domainName": host, "domainPrefix": "abcdefghij",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.10",
                "userAgent": "facebookexternalua"},
            "requestId": "bench=", "routeKey": format!("{method} {path}"), "stage": "$default",
            "time": "24/Nov/2026:03:05:00 +0000", "timeEpoch": 1_795_489_500_000_i64
        },
        "isBase64Encoded": false
    })
}

/// Returns a batch of the inbound queue in Lambda's format: `messages` messages, each of another sender; numbered from
/// `first` on.
///
/// # Errors
/// Never in practice: everything is JSON.
pub fn reply(first: usize, messages: usize) -> anyhow::Result<String> {
    let records: Result<Vec<Value>, serde_json::Error> = (first..first + messages).map(record).collect();
    Ok(json!({ "Records": records? }).to_string())
}

fn record(n: usize) -> Result<Value, serde_json::Error> {
    let raw = |value: Value| serde_json::value::to_raw_value(&value);
    let (waba_id, field) = (raw(json!("419561257915477"))?, raw(json!("messages"))?);
    let metadata = raw(json!({"display_phone_number": "15550783881", "phone_number_id": PHONE_NUMBER_ID}))?;
    let contact = raw(json!({"profile": {"name": "Sheena Nelson"}, "wa_id": number(n)}))?;
    let message = raw(message(n, TEXT))?;
    let received_at = Utc::now() - TimeDelta::milliseconds(20);
    let body = Envelope::V1(V1::Message(ReceivedMessage {
        received_at,
        waba_id: Some(&waba_id),
        field: Some(&field),
        metadata: Some(&metadata),
        contact: Some(&contact),
        sender: Sender::parse(&number(n)),
        truncation: None,
        message: &message,
    }))
    .to_body()?;
    let sent = received_at.timestamp_millis().to_string();
    Ok(json!({
        "messageId": format!("57996cd8-3671-5eaa-8840-{n:012}"), "receiptHandle": format!("receipt-{n}"), "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1", "ApproximateFirstReceiveTimestamp": sent, "SentTimestamp": sent,
            "MessageDeduplicationId": format!("{n:064}"), "MessageGroupId": format!("{n:064}"),
            "SenderId": "AIDALOCAL", "SequenceNumber": format!("{n:020}"),
            "AWSTraceHeader": "Root=1-6b04fedc-000000000000000000000001;Parent=0000000000000001;Sampled=0"
        },
        "messageAttributes": {}, "md5OfBody": "0".repeat(32), "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:inbound.fifo", "awsRegion": "us-east-1"
    }))
}

#[cfg(test)]
mod tests {
    use webhook::readable::Readable;

    use super::*;

    #[test]
    fn a_thousand_messages_are_about_as_large_as_meta_s() {
        let body = payload(0, 1000, None);
        assert!((200_000..300_000).contains(&body.len()), "{}", body.len());
        assert_eq!(webhook::payload::read(&Readable::of(body.as_bytes())).len(), 1000);
    }

    #[test]
    fn a_record_is_one_that_reply_answers() {
        let event: Value = serde_json::from_str(&reply(0, 2).expect("JSON")).expect("JSON");
        let body = event["Records"][1]["body"].as_str().expect("a body");
        let Ok(Envelope::V1(V1::Message(received))) = Envelope::from_body(body) else { panic!("{body}") };
        assert_eq!(received.sender, Sender::parse("16500000001"));
    }
}
