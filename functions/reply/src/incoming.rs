//! A message as Meta sent it becomes one with types, once.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::envelope::ReceivedMessage;
use shared::lenient;
use shared::logging::Masked;

use crate::graph::PhoneNumberId;

/// A message of a person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Incoming {
    /// Meta's id of the message, the wamid.
    pub wamid: Option<String>,
    /// Who wrote it; `None` when nothing says so.
    pub sender: Option<Sender>,
    /// The business number that received it, when Meta said so.
    pub phone_number_id: Option<PhoneNumberId>,
    /// When it was sent: see [`sent_at`].
    pub sent_at: DateTime<Utc>,
    /// What it holds.
    pub content: Content,
    /// Why it must not be answered, whatever it holds.
    pub unanswerable: Option<&'static str>,
}

/// A person, as WhatsApp knows them.
#[derive(Clone, Eq, PartialEq)]
pub enum Sender {
    /// A phone number: digits, with country code, without `+`.
    Phone(String),
    /// A business-scoped user id: the country's two letters, a dot, letters and digits.
    UserId(String),
}

/// What a message holds.
#[derive(Clone, Eq, PartialEq)]
pub enum Content {
    /// `type: text`
    Text(String),
    /// Every other type, by its name, and a text without a readable body.
    Other(String),
}

impl Incoming {
    /// Reads a message. What cannot be read counts as absent.
    #[must_use]
    pub fn read(received: &ReceivedMessage<'_>) -> Self {
        let message: Message = lenient::read(Some(received.message)).unwrap_or_default();
        let contact: Contact = lenient::read(received.contact).unwrap_or_default();
        let metadata: Metadata = lenient::read(received.metadata).unwrap_or_default();
        Self {
            wamid: lenient::filled_text(message.id).map(Into::into),
            sender: Sender::of(&message, &contact),
            phone_number_id: lenient::filled_text(metadata.phone_number_id).and_then(|id| id.parse().ok()),
            sent_at: sent_at(message.timestamp, received.received_at),
            content: Content::read(&message),
            unanswerable: unanswerable(&message, received.field),
        }
    }
}

/// An answer goes to one person, in a conversation that is ours.
fn unanswerable(message: &Message<'_>, field: Option<&RawValue>) -> Option<&'static str> {
    if lenient::filled_text(message.group_id).is_some() {
        return Some("messages of groups are not answered yet");
    }
    // Such as `standby`, where another app has the conversation.
    let field = lenient::filled_text(field).unwrap_or("messages".into());
    (field != "messages").then_some("it came in another webhook field than messages")
}

/// When a message was sent: the second that Meta gives and, within that second, the order in which the
/// messages arrived.
///
/// Meta's timestamps are whole seconds, and two messages of one second must keep their order in the
/// history. The second therefore holds a minute of delay from sending to arrival, at 16 µs a millisecond,
/// and the position in the request. Two messages of one second that arrive in two requests, more than a
/// minute late and on both sides of a full minute of delay, may change places.
/// Without a believable timestamp it is the time of arrival.
fn sent_at(timestamp: Option<&RawValue>, received_at: DateTime<Utc>) -> DateTime<Utc> {
    const MINUTE: i64 = 60_000;
    const STEP: i64 = 16;
    let second = lenient::text(timestamp)
        .and_then(|text| text.trim().parse().ok())
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let Some(second) = second.filter(|second| is_believable(*second, received_at)) else {
        return received_at;
    };
    let delay = (received_at - second).num_milliseconds().max(0) % MINUTE;
    let position = i64::from(received_at.timestamp_subsec_micros() % 1000);
    second.checked_add_signed(TimeDelta::microseconds(delay * STEP + position)).unwrap_or(received_at)
}

/// Whether a message that arrived at `received_at` can have been sent at `second`.
///
/// However long ago: Meta delivers late, and samples are old. But not before there was WhatsApp, and not more than
/// a day from now, which is more than clocks differ by: milliseconds, say, would be the year 57407, and PostgreSQL
/// would refuse the row whenever it is tried.
fn is_believable(second: DateTime<Utc>, received_at: DateTime<Utc>) -> bool {
    const WHATSAPP: i64 = 1_230_768_000; // 2009-01-01
    second.timestamp() >= WHATSAPP && second - received_at <= TimeDelta::days(1)
}

#[derive(Default, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    from: Option<&'a RawValue>,
    #[serde(borrow, default)]
    from_user_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow, default)]
    group_id: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Contact<'a> {
    #[serde(borrow, default)]
    wa_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    user_id: Option<&'a RawValue>,
}

/// What a message or a contact says about who it is about.
#[derive(Default)]
struct Person<'a> {
    /// A [`Sender::Phone`].
    number: Option<Sender>,
    user_id: Option<Cow<'a, str>>,
}

impl<'a> Person<'a> {
    fn new(number: Option<&'a RawValue>, user_id: Option<&'a RawValue>) -> Self {
        let user_id = lenient::filled_text(user_id);
        let id = lenient::filled_text(number);
        match id.as_deref().and_then(Sender::parse) {
            number @ Some(Sender::Phone(_)) => Self { number, user_id },
            // A user id may stand in the number's place.
            _ => Self { number: None, user_id: user_id.or(id) },
        }
    }
}

#[derive(Default, Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    phone_number_id: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Text<'a> {
    #[serde(borrow, default)]
    body: Option<&'a RawValue>,
}

impl Content {
    fn read(message: &Message<'_>) -> Self {
        let kind = lenient::filled_text(message.kind).unwrap_or("without a type".into());
        let body = lenient::read::<Text>(message.text).and_then(|text| lenient::text(text.body));
        match body {
            Some(body) if kind == "text" => Self::Text(body.into()),
            None if kind == "text" => Self::Other("text without a readable body".to_owned()),
            _ => Self::Other(kind.into()),
        }
    }
}

impl Sender {
    /// Who wrote a message: by phone number if there is one, because users are known by it, or else by user id.
    ///
    /// The message's own number is the one to answer to. Its contact's counts only if the contact is the
    /// author's: it has the same user id, or the message names nobody (then it came with the only contact).
    /// Another's number would send one person's answer to another's phone.
    fn of(message: &Message<'_>, contact: &Contact<'_>) -> Option<Self> {
        let author = Person::new(message.from, message.from_user_id);
        let contact = Person::new(contact.wa_id, contact.user_id);
        let named =
            [message.from, message.from_user_id].into_iter().any(|id| lenient::filled_text(id).is_some());
        let same = author.user_id.is_some() && author.user_id == contact.user_id;
        let contact = if same || !named { contact } else { Person::default() };
        author.number.or(contact.number).or_else(|| {
            let user_id = author.user_id.or(contact.user_id)?;
            Self::parse(&user_id).filter(|sender| matches!(sender, Self::UserId(_)))
        })
    }

    /// Reads a phone number or a business-scoped user id; which one it is shows in its form.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let digits = id.strip_prefix('+').unwrap_or(id);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Self::Phone(digits.to_owned()));
        }
        let (country, rest) = id.split_once('.')?;
        let country = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        let rest = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        (country && rest).then(|| Self::UserId(id.to_owned()))
    }
}

impl Sender {
    /// The number's digits, or the user id, as it is. Personal data: not for logs.
    #[must_use]
    pub fn id(&self) -> &str {
        let (Self::Phone(id) | Self::UserId(id)) = self;
        id
    }
}

impl fmt::Display for Sender {
    /// Masked: it is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Masked(self.id()).fmt(f)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(_) => write!(f, "Phone({self})"),
            Self::UserId(_) => write!(f, "UserId({self})"),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::Other(kind) => write!(f, "Other({kind})"),
        }
    }
}

#[cfg(test)]
#[path = "incoming_tests.rs"]
mod tests;
