//! Meta's updates, parsed once into types.
//!
//! | module | content |
//! |---|---|
//! | [`content`] | the content of a message, by its type |
//! | `text` | the text of a message in the history |
//! | `payload` | the further data in its row |
//! | [`status`] | a status of a sent message |
//! | [`event`] | all other updates |
//! | `time` | the time of a message |
//! | `vcard` | the name on a contact's card |

pub mod content;
pub mod event;
mod payload;
pub mod status;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod vcard;

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;
use shared::lambda::logging::ShortWamid;
use shared::lambda::names::UpdateKind;
use shared::meta::contacts::Contacts;
use shared::meta::envelope::{Asked, Line, ReceivedMessage};
use shared::meta::identity::IdentityChange;
use shared::meta::lenient::{self, Object, storable_text};
use shared::meta::sender::{PhoneNumber, Sender};
use shared::meta::wamid::{MessageKey, Wamid};
use shared::text::head;
use tracing::field::DisplayValue;

pub use content::Content;
pub use event::{Change, Event};
pub use status::{Category, Status};

use crate::graph::PhoneNumberId;
use crate::users::Author;

/// The maximum length of a type's name, in characters.
const MAX_KIND: usize = 64;

/// An entry of `messages` or `message_echoes`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A message of a conversation.
    Message(Box<Incoming>),
    /// A message that belongs to no history.
    Event(MessageEvent),
}

/// A message that is stored as an event, because it belongs to no history: a notice of WhatsApp's, or a message without a
/// sender.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageEvent {
    /// Whether it is a message or an echo.
    pub update: UpdateKind,
    /// The wamid of the message, if it has one.
    pub wamid: Option<Wamid>,
    /// The message's `type`.
    pub kind: String,
    /// The event to be stored.
    pub event: Event,
}

/// A message from a user, or a business echo to a user.
#[derive(Clone, Eq, PartialEq)]
pub struct Incoming {
    /// The wamid, or its substitute. The ids of the message's rows are derived from it.
    pub key: MessageKey,
    /// The user: the author of a message, the recipient of a business echo.
    pub sender: Sender,
    /// The WhatsApp Business Account of the conversation.
    pub waba_id: Option<String>,
    /// The business number that received it, if Meta named it.
    pub phone_number_id: Option<PhoneNumberId>,
    /// The business number behind `phone_number_id`.
    pub business_number: Option<PhoneNumber>,
    /// The time at which the webhook received it.
    pub received_at: DateTime<Utc>,
    /// The time of sending: Meta's timestamp in seconds, and within a second the order of arrival.
    pub sent_at: DateTime<Utc>,
    /// The message's `type`.
    pub kind: String,
    /// The parsed content.
    pub content: Content,
    /// The id of the group, if it was written in one.
    pub group_id: Option<String>,
    /// The wamid of the message that it quotes.
    pub quotes: Option<Wamid>,
    /// The sender's profile name.
    pub sender_name: Option<String>,
    /// Whether this program replies to it. In a webhook field such as `standby`, another app handles the conversation.
    pub is_ours: bool,
    /// The column `payload`: JSON with the raw message and its most used fields.
    pub payload: String,
}

impl Entry {
    /// Parses a message. Unreadable fields count as absent.
    #[must_use]
    pub fn read(received: &ReceivedMessage<'_>) -> Self {
        Self::written_by(Writer::Person, received)
    }

    /// Returns its wamid, if it has one.
    #[must_use]
    pub fn wamid(&self) -> Option<&Wamid> {
        match self {
            Self::Message(message) => message.key.wamid(),
            Self::Event(event) => event.wamid.as_ref(),
        }
    }

    /// Parses a business echo.
    #[must_use]
    pub fn read_echo(received: &ReceivedMessage<'_>) -> Self {
        Self::written_by(Writer::Business, received)
    }

    fn written_by(writer: Writer, received: &ReceivedMessage<'_>) -> Self {
        let message = Object::of(Some(received.message));
        let (kind, content) = Content::read(&message);
        let kind = head(&storable_text(&kind), MAX_KIND).to_owned();
        // Older envelopes have no sender.
        let sender = received.sender.clone().or_else(|| writer.of_contact(received.contact, &message));
        let field = writer.field(received);
        let is_ours = field.is_none();
        let sender = match sender {
            Some(sender) if !matches!(content, Content::System(_) | Content::Welcome) => sender,
            _ => {
                let mut event = Event::of_message(received, &format!("{}.{kind}", writer.list()));
                // A change reported in another field, such as `history`, may have happened long ago.
                if writer == Writer::Person && matches!(content, Content::System(_)) && is_ours {
                    let change = IdentityChange::of_system_message(&message, &message.object("system"));
                    event
                        .changes
                        .extend(change.map(|change| Change::new(change, None, received.received_at)));
                }
                let (update, wamid) = (writer.update(), message.wamid("id"));
                return Self::Event(MessageEvent { update, wamid, kind, event });
            }
        };
        Self::Message(Box::new(Incoming {
            key: MessageKey::of(message.string("id"), received.message),
            sender,
            waba_id: lenient::filled_text(received.waba_id).map(Into::into),
            phone_number_id: Object::of(received.metadata)
                .filled_text("phone_number_id")
                .and_then(|id| id.parse().ok()),
            business_number: Object::of(received.metadata)
                .filled_text("display_phone_number")
                .and_then(|number| PhoneNumber::parse(&number.replace([' ', '-', '(', ')'], ""))),
            received_at: received.received_at,
            sent_at: time::sent_at(message.get("timestamp"), received.received_at),
            group_id: message.string("group_id"),
            quotes: message.object("context").wamid("id"),
            sender_name: Object::of(received.contact).object("profile").string("name"),
            is_ours,
            payload: payload::payload(received, field, &message, &content),
            kind,
            content,
        }))
    }
}

/// The time after which a message may be a copy: SQS recognizes copies within five minutes of the first one, and the clocks
/// of Meta, Lambda and SQS differ.
const DEDUPLICATION: TimeDelta = TimeDelta::minutes(4);

impl Incoming {
    /// Returns whether the webhook received it so late that it may be a copy which SQS did not recognize.
    #[must_use]
    pub(crate) fn is_late(&self) -> bool {
        self.received_at - self.sent_at >= DEDUPLICATION
    }

    /// Returns the author, for the lookup of the user.
    #[must_use]
    pub fn author(&self) -> Author {
        let written_at = Some(time::written_at(self.sent_at, self.received_at));
        Author { sender: self.sender.clone(), waba_id: self.waba_id.clone(), written_at }
    }

    /// Returns the part of an exchange that records it.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked {
            question: Line { content: self.content.text(&self.kind), at: self.sent_at },
            kind: Some(self.kind.clone()),
            refers_to: self.content.refers_to().cloned(),
            payload: Some(self.payload.clone()),
        }
    }

    /// Returns its wamid as a field of a log line.
    pub(crate) fn short_wamid(&self) -> Option<DisplayValue<ShortWamid<'_>>> {
        self.key.wamid().map(|wamid| ShortWamid::field(wamid.as_str()))
    }
}

/// The side of a conversation that wrote a message.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Writer {
    /// A user, to the business.
    Person,
    /// The business, to a user.
    Business,
}

impl Writer {
    /// Returns the kind of update of such a message.
    fn update(self) -> UpdateKind {
        match self {
            Self::Person => UpdateKind::Message,
            Self::Business => UpdateKind::Echo,
        }
    }

    /// Returns the name of the list of such messages in a webhook value.
    fn list(self) -> &'static str {
        match self {
            Self::Person => "messages",
            Self::Business => "message_echoes",
        }
    }

    /// Returns the webhook field of a message, unless it is the one for messages to be answered.
    fn field<'a>(self, received: &ReceivedMessage<'a>) -> Option<Cow<'a, str>> {
        let field = lenient::filled_text(received.field).filter(|field| field != "messages");
        match self {
            Self::Person => field,
            // In any field, the origin of a business echo is recorded in its row.
            Self::Business => field.or(Some(Cow::Borrowed(self.list()))),
        }
    }

    /// Returns the user of a message with this contact.
    fn of_contact(self, contact: Option<&RawValue>, message: &Object<'_>) -> Option<Sender> {
        let contacts = Contacts::read(contact);
        match self {
            Self::Person => contacts.author(message).0,
            Self::Business => contacts.recipient(message).0,
        }
    }
}

impl fmt::Debug for Incoming {
    /// Omits the text, and shows the sender only as far as logs may.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Incoming");
        debug.field("key", &self.key).field("sender", &self.sender).field("content", &self.content);
        debug.finish_non_exhaustive()
    }
}
