//! The kind and the cause of a dead letter, derived from its body.
//!
//! `reply` adds the cause to a message that it dead-letters. SQS adds none to a message that it moves itself, and a
//! waiting message cannot be changed. In that case this module derives the cause from the body, as far as possible; the
//! error itself is in the log of `reply`: see [`super::reasons`].

use reply::incoming::{Entry, Status};
use serde_json::Value;
use shared::lambda::logging::plain;
use shared::meta::envelope::{Envelope, V1};

/// The content of a dead letter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A user's message.
    Message,
    /// A message of the business.
    Echo,
    /// A status of a sent message.
    Status,
    /// An event of the account.
    Event,
    /// A record task: rows to write after the reply was sent.
    Record,
    /// A body that this version cannot read.
    Unreadable,
}

/// The result of examining a body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The kind.
    pub kind: Kind,
    /// The message's wamid.
    pub wamid: Option<String>,
    /// The cause of dead-lettering.
    pub cause: String,
    /// Whether several causes are possible and only the log identifies one.
    pub cause_in_log: bool,
}

impl Kind {
    /// Returns the name for display.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Echo => "echo",
            Self::Status => "status",
            Self::Event => "event",
            Self::Record => "record",
            Self::Unreadable => "unreadable",
        }
    }
}

impl Finding {
    /// Examines a body from the dead-letter queue of the inbound queue (`fifo`) or of the record queue.
    #[must_use]
    pub fn of(body: &str, fifo: bool) -> Self {
        let (kind, wamid, cause, cause_in_log) = match Envelope::from_body(body) {
            Err(error) => {
                let cause = match unknown(body) {
                    Some(unknown) => {
                        format!("{unknown} is unknown to this version: deploy the version that wrote it")
                    }
                    None => error.to_string(),
                };
                (Kind::Unreadable, None, cause, false)
            }
            Ok(Envelope::V1(V1::Record(task) | V1::Turn(task))) => {
                let cause = match task.user_id {
                    _ if task.unsent.is_some() => "the rest of a long reply could not be sent".to_owned(),
                    Some(user) => format!("the database rejected the rows of user {user}"),
                    None => "rows not written: the sender's user could not be looked up".to_owned(),
                };
                (Kind::Record, Some(task.exchange.key.into()), cause, true)
            }
            Ok(Envelope::V1(V1::Message(received))) => {
                let entry = Entry::read(&received);
                let cause = match (&entry, fifo) {
                    (Entry::Event(_), _) => "the database rejected the event",
                    (Entry::Message(_), false) => {
                        "quarantined: reply panicked on it, or that version of reply could not read it"
                    }
                    (Entry::Message(_), true) => {
                        "no reply could be sent (error of Meta or of the network), or none could be determined"
                    }
                };
                (Kind::Message, entry.wamid().cloned().map(Into::into), cause.to_owned(), true)
            }
            Ok(Envelope::V1(V1::Echo(received))) => {
                let cause = "the database rejected the message of the business".to_owned();
                (Kind::Echo, Entry::read_echo(&received).wamid().cloned().map(Into::into), cause, true)
            }
            Ok(Envelope::V1(V1::Status(received))) => {
                let wamid = Status::read(&received).map(|status| status.wamid.into());
                (Kind::Status, wamid, "the database rejected the status".to_owned(), true)
            }
            Ok(Envelope::V1(V1::Event(received))) => {
                let cause = format!("the database rejected the event {}", plain(&received.name));
                (Kind::Event, None, cause, true)
            }
        };
        Self { kind, wamid, cause, cause_in_log }
    }
}

/// Returns the version, or version and kind, of an envelope of a later version.
fn unknown(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let only = |value: &Value| {
        let object = value.as_object().filter(|object| object.len() == 1)?;
        let (name, inner) = object.iter().next()?;
        // Only names of the envelope format; any other string might be message text.
        let ours = name.len() <= 20 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        ours.then(|| (name.clone(), inner.clone()))
    };
    let (version, inner) = only(&body)?;
    if version != "v1" {
        let number = version.strip_prefix('v')?;
        return number.parse::<u32>().is_ok().then(|| format!("envelope version {version}"));
    }
    let (kind, _) = only(&inner)?;
    (!["message", "status", "event", "record"].contains(&kind.as_str()))
        .then(|| format!("envelope kind {kind}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str) -> String {
        format!(
            r#"{{"v1":{{"message":{{"received_at":"2026-11-24T03:05:00Z","message":{{"id":"wamid.1","from":"16505551234","type":"{kind}","text":{{"body":"private"}}}}}}}}}}"#
        )
    }

    #[test]
    fn an_envelope_of_a_later_version_is_named() {
        let cause = |body: &str| Finding::of(body, true).cause;
        assert!(cause(r#"{"v2":{"message":{}}}"#).starts_with("envelope version v2 is unknown"));
        assert!(cause(r#"{"v1":{"telegram":{}}}"#).starts_with("envelope kind telegram is unknown"));
    }

    #[test]
    fn a_cause_contains_no_message_text() {
        let bodies = [
            "call me at 16505551234",
            r#""call me at 16505551234""#,
            r#"{"16505551234":{}}"#,
            r#"{"v1":{"call me at 16505551234":{}}}"#,
            r#"{"v1":{"record":{"user_id":null,"sender":16505551234}}}"#,
            r#"{"v1":{"message":{"received_at":"16505551234","message":{}}}}"#,
        ];
        for body in bodies {
            let finding = Finding::of(body, true);
            assert_eq!(finding.kind, Kind::Unreadable, "{body}");
            assert!(!finding.cause.contains("16505551234"), "{}", finding.cause);
        }
    }

    #[test]
    fn the_cause_is_derived_from_a_message_without_one() {
        let of = |kind, fifo| Finding::of(&message(kind), fifo);
        assert_eq!(of("text", true).wamid.as_deref(), Some("wamid.1"));
        assert!(of("text", true).cause.starts_with("no reply could be sent"));
        assert!(of("system", true).cause.starts_with("the database"));
        assert!(of("text", false).cause.starts_with("quarantined"));
        let other = |json: &str| Finding::of(&format!(r#"{{"v1":{{{json}}}}}"#), true);
        let received = r#""received_at":"2026-11-24T03:05:00Z""#;
        let status =
            other(&format!(r#""status":{{{received},"status":{{"id":"wamid.1","status":"read"}}}}"#));
        assert_eq!((status.kind, status.wamid.as_deref()), (Kind::Status, Some("wamid.1")));
        let event = other(&format!(r#""event":{{{received},"name":"account_update","value":{{}}}}"#));
        assert_eq!((event.kind, event.cause.ends_with("the event account_update")), (Kind::Event, true));
    }
}
