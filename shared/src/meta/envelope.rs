//! The body of a queue message: a message, a status or an event from Meta with its context, or rows that could not be
//! written yet.
//!
//! The envelope is tagged by version and kind (`{"v1":{"message":{…}}}`), so that a later version of a function reads
//! the messages that an earlier one has put on the queue. An unknown kind or version is an error: the message returns
//! to the queue and is never dropped.
//!
//! Meta's JSON is carried byte for byte as it arrived ([`RawValue`]): unknown fields are preserved, and no value is
//! parsed and serialized again.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::meta::sender::Sender;
use crate::meta::wamid::{self, MessageKey, Wamid};

/// Maximum size in bytes of a body: below the 1 MiB of SQS, so that it also fits a dead-letter queue with its cause.
pub const MAX_BODY: usize = 1020 * 1024;

/// A queue message's body, by version.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope<'a> {
    /// The first version.
    #[serde(borrow)]
    V1(V1<'a>),
}

/// The content of a version 1 envelope.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum V1<'a> {
    /// One entry of `value.messages`.
    #[serde(borrow)]
    Message(ReceivedMessage<'a>),
    /// One entry of `value.message_echoes`: a message that the business wrote in its app. `sender` and `contact` are
    /// those of the recipient. A separate kind, so that an older version of a function returns it to the queue instead
    /// of handling it as a message of the user.
    #[serde(borrow)]
    Echo(ReceivedMessage<'a>),
    /// One entry of `value.statuses`.
    #[serde(borrow)]
    Status(ReceivedStatus<'a>),
    /// Any other content of a webhook.
    #[serde(borrow)]
    Event(ReceivedEvent<'a>),
    /// Rows that could not be written when the reply was sent.
    Record(Box<RecordTask>),
    /// The same for several messages that were answered together. A separate kind, so that an older version of a function
    /// returns it to the queue instead of writing only the last message.
    Turn(Box<RecordTask>),
}

/// One message as it arrived, with its context.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ReceivedMessage<'a> {
    /// The time of receipt by the webhook, in milliseconds; its microseconds are the position in the request.
    pub received_at: DateTime<Utc>,
    /// The WhatsApp Business Account: `entry[].id`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub waba_id: Option<&'a RawValue>,
    /// The webhook field: `changes[].field`, usually `messages`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub field: Option<&'a RawValue>,
    /// The business number that received it: `value.metadata`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub metadata: Option<&'a RawValue>,
    /// The sender's entry in `value.contacts`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub contact: Option<&'a RawValue>,
    /// The sender, according to the message and the contact.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sender: Option<Sender>,
    /// The truncation of the message, if it was too large.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub truncation: Option<Truncation>,
    /// The message itself: `value.messages[]`, or `value.message_echoes[]`.
    #[serde(borrow)]
    pub message: &'a RawValue,
}

/// One status of a sent message, as it arrived.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ReceivedStatus<'a> {
    /// See [`ReceivedMessage::received_at`].
    pub received_at: DateTime<Utc>,
    /// The WhatsApp Business Account: `entry[].id`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub waba_id: Option<&'a RawValue>,
    /// The business number that sent the message: `value.metadata`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub metadata: Option<&'a RawValue>,
    /// The truncation of the status, if it was too large.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub truncation: Option<Truncation>,
    /// The status itself: `value.statuses[]`.
    #[serde(borrow)]
    pub status: &'a RawValue,
}

/// An event of the account, or content that this version does not know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ReceivedEvent<'a> {
    /// See [`ReceivedMessage::received_at`].
    pub received_at: DateTime<Utc>,
    /// The time of the event, where Meta gives one: `entry[].time`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub time: Option<&'a RawValue>,
    /// The WhatsApp Business Account: `entry[].id`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub waba_id: Option<&'a RawValue>,
    /// The business number of the event: `value.metadata`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub metadata: Option<&'a RawValue>,
    /// Its name: the webhook field, or the name of a field next to messages (`errors`, `messages.calls`).
    pub name: String,
    /// The truncation of the value, if it was too large.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub truncation: Option<Truncation>,
    /// The content: usually `changes[].value`.
    #[serde(borrow)]
    pub value: &'a RawValue,
}

/// The truncation of an update that is larger than SQS allows.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Truncation {
    /// The size in bytes of the JSON as Meta sent it.
    pub bytes: usize,
    /// The size in bytes after truncation.
    pub kept: usize,
}

/// Rows to be written later, with all that this needs.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecordTask {
    /// The user of the rows; `None` when the lookup failed too.
    pub user_id: Option<Uuid>,
    /// The sender, by which the user is looked up later.
    pub sender: Sender,
    /// The WhatsApp Business Account that received the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waba_id: Option<String>,
    /// The time of the message: the number may have belonged to another user then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<DateTime<Utc>>,
    /// The rest of a long reply, to be sent first; `None` when all of it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsent: Option<Unsent>,
    /// The message and its reply.
    #[serde(flatten)]
    pub exchange: Exchange,
}

/// The unsent rest of a reply.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Unsent {
    /// The phone number id that sends it.
    pub from: String,
    /// The WhatsApp group that receives it; `None` when the recipient is the sender of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// The text to send.
    pub text: String,
    /// The number of its first part in the whole reply, from 1; 0 if an older version wrote the task.
    #[serde(default)]
    pub part: u32,
}

/// A message, or the messages of a turn, and their reply.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Exchange {
    /// The messages of the turn before the last one, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
    /// The key of the last message: the ids of its row and of the reply's are derived from it.
    #[serde(rename = "wamid")]
    pub key: MessageKey,
    /// The phone number id that received the message and sent the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// The last message.
    #[serde(flatten)]
    pub asked: Asked,
    /// The reply; `None` when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Line>,
    /// The column `payload` of the reply, as JSON; `None` for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_payload: Option<String>,
    /// Meta's ids of the reply, one for each part, as far as Meta returned them.
    #[serde(default, deserialize_with = "wamid::list", skip_serializing_if = "Vec::is_empty")]
    pub answer_wamids: Vec<Wamid>,
    /// The reason for a missing reply: Meta refused it permanently, its sender seems to be automatic, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered_because: Option<String>,
}

/// A message of a turn before the last one.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Earlier {
    /// The key of the message: the id of its row is derived from it.
    #[serde(rename = "wamid")]
    pub key: MessageKey,
    /// The message.
    #[serde(flatten)]
    pub asked: Asked,
}

/// A message of a user.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Asked {
    /// Its content and time.
    pub question: Line,
    /// Meta's type of the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The wamid that a reaction, an edit or a revoke refers to.
    #[serde(default, deserialize_with = "wamid::optional", skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<Wamid>,
    /// The column `payload`, as JSON that PostgreSQL accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// One side of an exchange.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Line {
    /// The content of the message.
    pub content: String,
    /// The time of the message.
    pub at: DateTime<Utc>,
}

impl std::fmt::Debug for RecordTask {
    /// Writes neither the number nor the contents, which are personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("RecordTask");
        debug.field("user_id", &self.user_id).field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Exchange {
    /// Writes no contents, which are personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("wamid", &self.key).finish_non_exhaustive()
    }
}

/// A queue message that is not an envelope of a known version. The error's message includes no part of the body.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("unknown envelope (from a newer version or another program): {fault} at line {line} column {column}")]
pub struct UnreadableEnvelope {
    fault: &'static str,
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for UnreadableEnvelope {
    /// The parser's own message repeats unexpected values, which may be phone numbers and message contents.
    fn from(error: serde_json::Error) -> Self {
        let fault = match error.classify() {
            Category::Syntax => "not JSON",
            Category::Eof => "truncated",
            Category::Data => "an unknown version, kind or value",
            Category::Io => "not readable",
        };
        Self { fault, line: error.line(), column: error.column() }
    }
}

impl<'a> Envelope<'a> {
    /// Reads a queue message's body.
    ///
    /// # Errors
    /// When the body is not JSON, or is an envelope of an unknown version or kind.
    pub fn from_body(body: &'a str) -> Result<Self, UnreadableEnvelope> {
        Ok(serde_json::from_str(body)?)
    }

    /// Writes the queue message's body.
    ///
    /// The characters U+FFFE and U+FFFF are escaped: SQS refuses them in a body, although JSON allows them.
    /// Source: `SendMessage` in the Amazon SQS API reference.
    ///
    /// # Errors
    /// Never in practice: every part is either valid JSON already, or a time.
    pub fn to_body(&self) -> Result<String, serde_json::Error> {
        let body = serde_json::to_string(self)?;
        // A search for their first byte is faster than one for characters.
        if body.as_bytes().contains(&0xef) && body.contains(['\u{fffe}', '\u{ffff}']) {
            return Ok(body.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff"));
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).expect("JSON")
    }

    fn received(message: &str) -> ReceivedMessage<'_> {
        ReceivedMessage {
            received_at: DateTime::from_timestamp_micros(1_749_416_383_123_456).expect("a time"),
            waba_id: Some(raw(r#""419561257915477""#)),
            field: Some(raw(r#""messages""#)),
            metadata: Some(raw(r#"{"phone_number_id":"106540352242922"}"#)),
            contact: None,
            sender: Sender::parse("16505551234"),
            truncation: None,
            message: raw(message),
        }
    }

    #[test]
    fn the_json_of_a_message_round_trips_unchanged() {
        let message = r#"{"id":"wamid.1", "from" : "16505551234","new_in_2027":[1.50,{"a":null}]}"#;
        let body = Envelope::V1(V1::Message(received(message))).to_body().expect("a body");
        assert!(
            body.starts_with(r#"{"v1":{"message":{"received_at":"2025-06-08T20:59:43.123456Z","waba_id""#)
        );
        let Envelope::V1(V1::Message(read)) = Envelope::from_body(&body).expect("an envelope") else {
            panic!("not a message: {body}");
        };
        assert_eq!(read.message.get(), message);
        assert_eq!(read.received_at.timestamp_micros(), 1_749_416_383_123_456);
        assert!(read.contact.is_none());
        assert_eq!(read.sender, Sender::parse("16505551234"));
    }

    #[test]
    fn characters_refused_by_sqs_are_escaped_and_restored() {
        let message = "{\"text\":\"a\u{ffff}b\u{fffe}c\"}";
        let body = Envelope::V1(V1::Message(received(message))).to_body().expect("a body");
        assert!(!body.contains(['\u{fffe}', '\u{ffff}']));
        let Envelope::V1(V1::Message(read)) = Envelope::from_body(&body).expect("an envelope") else {
            panic!("not a message: {body}");
        };
        let text: serde_json::Value = serde_json::from_str(read.message.get()).expect("JSON");
        assert_eq!(text["text"], "a\u{ffff}b\u{fffe}c");
    }

    #[test]
    fn a_record_task_round_trips_and_hides_contents_in_debug() {
        let line = |content: &str| Line { content: content.to_owned(), at: DateTime::UNIX_EPOCH };
        let asked = |content: &str, payload: Option<&str>| Asked {
            question: line(content),
            kind: Some("text".to_owned()),
            refers_to: None,
            payload: payload.map(str::to_owned),
        };
        let exchange = Exchange {
            earlier: vec![Earlier { key: "wamid.0".into(), asked: asked("an earlier question", None) }],
            key: "wamid.1".into(),
            phone_number_id: Some("106540352242922".to_owned()),
            asked: asked("a question", Some(r#"{"raw":{"id":"wamid.1","n":1.50}}"#)),
            answer: Some(line("an answer")),
            answer_payload: Some(r#"{"llm":{"source":"model"}}"#.to_owned()),
            answer_wamids: vec![Wamid::parse("wamid.2").expect("a wamid")],
            unanswered_because: None,
        };
        let from = "106540352242922".to_owned();
        let unsent = Unsent { from, group_id: None, text: "the rest of an answer".to_owned(), part: 2 };
        let sender = Sender::parse("16505551234").expect("a sender");
        let task = RecordTask {
            user_id: Some(Uuid::nil()),
            sender,
            waba_id: Some("419561257915477".to_owned()),
            written_at: Some(DateTime::UNIX_EPOCH),
            unsent: Some(unsent),
            exchange,
        };
        let body = Envelope::V1(V1::Record(Box::new(task.clone()))).to_body().expect("a body");
        // Byte for byte: other versions read it.
        let written = concat!(
            r#"{"v1":{"record":{"user_id":"00000000-0000-0000-0000-000000000000","sender":{"phone":"16505551234"},"#,
            r#""waba_id":"419561257915477","written_at":"1970-01-01T00:00:00Z","#,
            r#""unsent":{"from":"106540352242922","text":"the rest of an answer","part":2},"#,
            r#""earlier":[{"wamid":"wamid.0","#,
            r#""question":{"content":"an earlier question","at":"1970-01-01T00:00:00Z"},"kind":"text"}],"#,
            r#""wamid":"wamid.1","phone_number_id":"106540352242922","#,
            r#""question":{"content":"a question","at":"1970-01-01T00:00:00Z"},"kind":"text","#,
            r#""payload":"{\"raw\":{\"id\":\"wamid.1\",\"n\":1.50}}","#,
            r#""answer":{"content":"an answer","at":"1970-01-01T00:00:00Z"},"#,
            r#""answer_payload":"{\"llm\":{\"source\":\"model\"}}","answer_wamids":["wamid.2"]}}}"#,
        );
        assert_eq!(body, written);
        let Envelope::V1(V1::Record(read)) = Envelope::from_body(&body).expect("an envelope") else {
            panic!("not a record: {body}");
        };
        assert_eq!(*read, task);
        let printed = format!("{read:?}");
        assert!(!printed.contains("a question") && !printed.contains("rest of"), "{printed}");
        // As written by versions without long replies, types and user ids.
        let body = r#"{"v1":{"record":{"user_id":null,"sender":"1","wamid":"w","question":{"content":"q","at":"2026-11-24T03:05:00Z"}}}}"#;
        let Ok(Envelope::V1(V1::Record(old))) = Envelope::from_body(body) else { panic!("{body}") };
        assert!(
            old.unsent.is_none()
                && old.exchange.asked.kind.is_none()
                && Some(old.sender) == Sender::parse("1")
        );
    }

    #[test]
    fn a_task_with_invalid_wamids_of_an_earlier_version_is_read() {
        let long = "w".repeat(5000);
        let body = serde_json::json!({"v1": {"record": {"user_id": null, "sender": "1", "wamid": long, "refers_to": "a\0b",
            "answer_wamids": ["wamid.2", "", long], "question": {"content": "q", "at": "2026-11-24T03:05:00Z"}}}});
        let body = body.to_string();
        let Ok(Envelope::V1(V1::Record(task))) = Envelope::from_body(&body) else { panic!("{body}") };
        assert_eq!((task.exchange.key.as_str(), task.exchange.key.wamid()), (long.as_str(), None));
        assert_eq!(task.exchange.asked.refers_to, None);
        assert_eq!(task.exchange.answer_wamids, [Wamid::parse("wamid.2").expect("a wamid")]);
        for key in ["wamid.1", "unnamed.7d6a4d1e-3b8a-5a3e-8a52-0c6d5a4f9b11"] {
            let task = RecordTask {
                exchange: Exchange { key: key.into(), ..task.exchange.clone() },
                ..(*task).clone()
            };
            let body = Envelope::V1(V1::Record(Box::new(task))).to_body().expect("a body");
            assert!(body.contains(&format!(r#""wamid":"{key}""#)), "{body}");
        }
    }

    #[test]
    fn unknown_versions_and_kinds_are_errors_unknown_fields_are_not() {
        assert!(Envelope::from_body(r#"{"v2":{}}"#).is_err());
        assert!(Envelope::from_body(r#"{"v1":{"telegram":{}}}"#).is_err());
        assert!(Envelope::from_body("hello").is_err());
        for body in [r#"{"v1":{"record":{"user_id":null,"sender":16505551234}}}"#, r#""a private word""#] {
            let error = Envelope::from_body(body).expect_err("unreadable");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("16505551234") && !shown.contains("private"), "{shown}");
        }
        let body = r#"{"v1":{"message":{"received_at":"2026-11-24T03:05:00Z","message":{},"later":1}}}"#;
        assert!(Envelope::from_body(body).is_ok());
    }
}
