//! What travels on the queues: a message, a status or an event from Meta, and all that Meta said around it; or rows
//! that could not be written yet.
//!
//! The envelope is tagged by version and kind (`{"v1":{"message":{…}}}`), so that a function that was
//! deployed later reads what an earlier one has put on the queue. A kind or version that a function
//! does not know is an error: the message goes back to the queue, and is never dropped.
//!
//! Everything that Meta sent is carried as the very text that arrived ([`RawValue`]): unknown fields
//! survive, and nothing is parsed or written twice.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::sender::Sender;
use crate::wamid::{self, MessageKey, Wamid};

/// Bytes of a body at most: below the 1 MiB of SQS, so that it fits a dead-letter queue with its cause, too.
pub const MAX_BODY: usize = 1020 * 1024;

/// A queue message's body, by version.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope<'a> {
    /// The first version.
    #[serde(borrow)]
    V1(V1<'a>),
}

/// What a version 1 envelope may hold.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum V1<'a> {
    /// One entry of `value.messages`.
    #[serde(borrow)]
    Message(ReceivedMessage<'a>),
    /// One entry of `value.message_echoes`: a message that the business wrote itself, in its app. `sender` and `contact`
    /// are the person's to whom it went. A kind of its own, so that an older function returns it instead of taking it
    /// for the person's words.
    #[serde(borrow)]
    Echo(ReceivedMessage<'a>),
    /// One entry of `value.statuses`.
    #[serde(borrow)]
    Status(ReceivedStatus<'a>),
    /// Everything else that Meta sends.
    #[serde(borrow)]
    Event(ReceivedEvent<'a>),
    /// Rows that could not be written when the answer was sent.
    Record(Box<RecordTask>),
}

/// One message as it arrived, with what is needed to answer it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ReceivedMessage<'a> {
    /// When the webhook received it: milliseconds, and below them, as microseconds, its position in the
    /// request.
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
    /// Who wrote it, as the message and that contact say.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sender: Option<Sender>,
    /// What was left out of the message.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cut: Option<Cut>,
    /// The message itself: `value.messages[]`, or `value.message_echoes[]`.
    #[serde(borrow)]
    pub message: &'a RawValue,
}

/// What became of a message that was sent, as it arrived.
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
    /// What was left out of the status.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cut: Option<Cut>,
    /// The status itself: `value.statuses[]`.
    #[serde(borrow)]
    pub status: &'a RawValue,
}

/// Something about the account, or something that this version does not know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ReceivedEvent<'a> {
    /// See [`ReceivedMessage::received_at`].
    pub received_at: DateTime<Utc>,
    /// When it happened, where Meta says so: `entry[].time`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub time: Option<&'a RawValue>,
    /// The WhatsApp Business Account: `entry[].id`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub waba_id: Option<&'a RawValue>,
    /// The business number it is about: `value.metadata`.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub metadata: Option<&'a RawValue>,
    /// Its name: the webhook field, or what it is beside a field's messages (`errors`, `messages.calls`).
    pub name: String,
    /// What was left out of the value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cut: Option<Cut>,
    /// What Meta said: usually `changes[].value`.
    #[serde(borrow)]
    pub value: &'a RawValue,
}

/// What was left out because SQS takes no message of that size.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Cut {
    /// Bytes of JSON as Meta sent it.
    pub bytes: usize,
    /// Bytes of what is left.
    pub kept: usize,
}

/// Rows to be written, with everything that is needed to write them later.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecordTask {
    /// Whose history they belong to; `None` when the look-up failed too.
    pub user_id: Option<Uuid>,
    /// By what the user is found then.
    pub sender: Sender,
    /// The WhatsApp Business Account that the sender wrote to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waba_id: Option<String>,
    /// When the message was written; a number may have had another owner then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_at: Option<DateTime<Utc>>,
    /// What of a long answer must be sent first; `None` when all of it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsent: Option<Unsent>,
    /// What was said.
    #[serde(flatten)]
    pub exchange: Exchange,
}

/// The rest of an answer whose first parts were sent.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Unsent {
    /// The id of the business number that sends it.
    pub from: String,
    /// The group that it is sent to; `None` when it goes to the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    /// What is to be sent.
    pub text: String,
}

/// A message and its answer.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Exchange {
    /// What the message is known by: the ids of both rows are derived from it.
    #[serde(rename = "wamid")]
    pub key: MessageKey,
    /// The id of the business number that received the message and sent the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// What was asked.
    pub question: Line,
    /// What kind of message it was: `type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The wamid of the message that it is about: of a reaction, an edit, a revoke.
    #[serde(default, deserialize_with = "wamid::optional", skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<Wamid>,
    /// The column `payload`, as the text of JSON that PostgreSQL can hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// What was answered; `None` when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Line>,
    /// Meta's ids of the answer, one for each part of it, as far as Meta said them.
    #[serde(default, deserialize_with = "wamid::list", skip_serializing_if = "Vec::is_empty")]
    pub answer_wamids: Vec<Wamid>,
    /// Why nothing was answered, when Meta refused the answer permanently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered_because: Option<String>,
}

/// One side of an exchange.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct Line {
    /// What was written.
    pub content: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl std::fmt::Debug for RecordTask {
    /// Without the number and what was written, which are personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("RecordTask");
        debug.field("user_id", &self.user_id).field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Exchange {
    /// Without what was written, which is personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("wamid", &self.key).finish_non_exhaustive()
    }
}

/// A queue message that is no envelope this version knows. Its text holds nothing of the body.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "not an envelope this version can read (newer sender, or not ours): {what} at line {line} column {column}"
)]
pub struct UnreadableEnvelope {
    what: &'static str,
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for UnreadableEnvelope {
    /// The parser's own text repeats values that it did not expect, which may be numbers and messages.
    fn from(error: serde_json::Error) -> Self {
        let what = match error.classify() {
            Category::Syntax => "not JSON",
            Category::Eof => "cut off",
            Category::Data => "an unknown version, kind or value",
            Category::Io => "not readable",
        };
        Self { what, line: error.line(), column: error.column() }
    }
}

impl<'a> Envelope<'a> {
    /// Reads a queue message's body.
    ///
    /// # Errors
    /// When it is not JSON, or an envelope of an unknown version or kind.
    pub fn from_body(body: &'a str) -> Result<Self, UnreadableEnvelope> {
        Ok(serde_json::from_str(body)?)
    }

    /// The queue message's body.
    ///
    /// SQS refuses a body with the characters U+FFFE and U+FFFF, which JSON allows: they are escaped.
    /// Source: `SendMessage` in the Amazon SQS API reference.
    ///
    /// # Errors
    /// Never in practice: every part is either text that was JSON already, or a time.
    pub fn to_body(&self) -> Result<String, serde_json::Error> {
        let body = serde_json::to_string(self)?;
        // Looked for by their first byte, which is found faster than a character.
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
            cut: None,
            message: raw(message),
        }
    }

    #[test]
    fn the_text_of_the_message_travels_unchanged() {
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
    fn characters_that_sqs_refuses_are_escaped_and_come_back() {
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
    fn a_record_task_survives_the_queue_and_does_not_print_what_was_said() {
        let line = |content: &str| Line { content: content.to_owned(), at: DateTime::UNIX_EPOCH };
        let exchange = Exchange {
            key: "wamid.1".into(),
            phone_number_id: Some("106540352242922".to_owned()),
            question: line("a question"),
            kind: Some("text".to_owned()),
            refers_to: None,
            payload: Some(r#"{"raw":{"id":"wamid.1","n":1.50}}"#.to_owned()),
            answer: Some(line("an answer")),
            answer_wamids: vec![Wamid::parse("wamid.2").expect("a wamid")],
            unanswered_because: None,
        };
        let from = "106540352242922".to_owned();
        let unsent = Unsent { from, group_id: None, text: "the rest of an answer".to_owned() };
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
        assert!(body.starts_with(r#"{"v1":{"record":{"user_id":"#), "{body}");
        let Envelope::V1(V1::Record(read)) = Envelope::from_body(&body).expect("an envelope") else {
            panic!("not a record: {body}");
        };
        assert_eq!(*read, task);
        let printed = format!("{read:?}");
        assert!(!printed.contains("a question") && !printed.contains("rest of"), "{printed}");
        // As versions without long answers, types and user ids wrote it.
        let body = r#"{"v1":{"record":{"user_id":null,"sender":"1","wamid":"w","question":{"content":"q","at":"2026-11-24T03:05:00Z"}}}}"#;
        let Ok(Envelope::V1(V1::Record(old))) = Envelope::from_body(body) else { panic!("{body}") };
        assert!(
            old.unsent.is_none() && old.exchange.kind.is_none() && Some(old.sender) == Sender::parse("1")
        );
    }

    #[test]
    fn ids_of_an_earlier_version_that_are_no_wamids_keep_their_task_readable() {
        let long = "w".repeat(5000);
        let body = serde_json::json!({"v1": {"record": {"user_id": null, "sender": "1", "wamid": long, "refers_to": "a\0b",
            "answer_wamids": ["wamid.2", "", long], "question": {"content": "q", "at": "2026-11-24T03:05:00Z"}}}});
        let body = body.to_string();
        let Ok(Envelope::V1(V1::Record(task))) = Envelope::from_body(&body) else { panic!("{body}") };
        assert_eq!((task.exchange.key.as_str(), task.exchange.key.wamid()), (long.as_str(), None));
        assert_eq!(task.exchange.refers_to, None);
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
    fn unknown_versions_and_kinds_are_errors_and_unknown_fields_are_not() {
        assert!(Envelope::from_body(r#"{"v2":{}}"#).is_err());
        assert!(Envelope::from_body(r#"{"v1":{"telegram":{}}}"#).is_err());
        assert!(Envelope::from_body("hello").is_err());
        for body in [r#"{"v1":{"record":{"user_id":null,"sender":16505551234}}}"#, r#""a private word""#] {
            let error = Envelope::from_body(body).expect_err("unreadable");
            let said = format!("{error} {error:?}");
            assert!(!said.contains("16505551234") && !said.contains("private"), "{said}");
        }
        let body = r#"{"v1":{"message":{"received_at":"2026-11-24T03:05:00Z","message":{},"later":1}}}"#;
        assert!(Envelope::from_body(body).is_ok());
    }
}
