//! What Meta sent becomes something with types, once.
//!
//! | module | what it reads |
//! |---|---|
//! | [`content`] | what a message holds, by its type |
//! | `text` | what the history shows of it |
//! | `payload` | what its row keeps besides |
//! | [`status`] | what became of a message that was sent |
//! | [`event`] | everything else |
//! | `time` | when it was |
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

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use shared::envelope::ReceivedMessage;
use shared::identity::IdentityChange;
use shared::lenient::{self, Object, storable_text};
use shared::logging::ShortWamid;
use shared::names::UpdateKind;
use shared::people::Contacts;
use shared::sender::Sender;
use shared::text::head;
use shared::wamid::{MessageKey, Wamid};
use tracing::field::DisplayValue;

pub use content::Content;
pub use event::{Change, Event};
pub use status::{Category, Status};

use crate::graph::PhoneNumberId;
use crate::users::Author;

/// Characters of a type's name at most.
const MAX_KIND: usize = 64;

/// An entry of `messages` or `message_echoes`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entry {
    /// A message of a conversation.
    Message(Box<Incoming>),
    /// A message that belongs to no history.
    Event(MessageEvent),
}

/// A message that is kept as an event, because it belongs to no history: WhatsApp says something, or nothing says who
/// wrote it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageEvent {
    /// Whether it is a message or an echo.
    pub update: UpdateKind,
    /// Its wamid.
    pub wamid: Option<Wamid>,
    /// What kind of message it is: `type`.
    pub kind: String,
    /// What is kept.
    pub event: Event,
}

/// A message of a person, or one that the business wrote to a person.
#[derive(Clone, Eq, PartialEq)]
pub struct Incoming {
    /// The wamid, or what takes its place: the ids of its rows are derived from it.
    pub key: MessageKey,
    /// Who wrote it; of a message of the business, to whom it went.
    pub sender: Sender,
    /// The WhatsApp Business Account that it was written to.
    pub waba_id: Option<String>,
    /// The business number that received it, when Meta said so.
    pub phone_number_id: Option<PhoneNumberId>,
    /// When the webhook received it.
    pub received_at: DateTime<Utc>,
    /// When it was sent: the second that Meta says, and the order of arrival within it.
    pub sent_at: DateTime<Utc>,
    /// What kind of message it is: `type`.
    pub kind: String,
    /// What it holds.
    pub content: Content,
    /// The group that it was written in.
    pub group_id: Option<String>,
    /// The wamid of the message that it answers.
    pub quotes: Option<Wamid>,
    /// The name that the sender gave themselves.
    pub sender_name: Option<String>,
    /// Whether it is ours to answer: in a field such as `standby`, another app has the conversation.
    pub is_ours: bool,
    /// The column `payload`: JSON with the raw message and what is used most of it.
    pub payload: String,
}

impl Entry {
    /// Reads a message. What cannot be read counts as absent.
    #[must_use]
    pub fn read(received: &ReceivedMessage<'_>) -> Self {
        Self::written_by(Writer::Person, received)
    }

    /// Its wamid, if it has one.
    #[must_use]
    pub fn wamid(&self) -> Option<&Wamid> {
        match self {
            Self::Message(message) => message.key.wamid(),
            Self::Event(event) => event.wamid.as_ref(),
        }
    }

    /// Reads a message that the business wrote itself, in its app.
    #[must_use]
    pub fn read_echo(received: &ReceivedMessage<'_>) -> Self {
        Self::written_by(Writer::Business, received)
    }

    fn written_by(writer: Writer, received: &ReceivedMessage<'_>) -> Self {
        let message = Object::of(Some(received.message));
        let (kind, content) = Content::read(&message);
        let kind = head(&storable_text(&kind), MAX_KIND).to_owned();
        // Before there was a sender in the envelope.
        let sender = received.sender.clone().or_else(|| writer.of_contact(received.contact, &message));
        let field = writer.field(received);
        let is_ours = field.is_none();
        let sender = match sender {
            Some(sender) if !matches!(content, Content::System(_) | Content::Welcome) => sender,
            _ => {
                let mut event = Event::of_message(received, &format!("{}.{kind}", writer.list()));
                // What is told elsewhere, as in `history`, happened long ago.
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

impl Incoming {
    /// By what its sender is looked up.
    #[must_use]
    pub fn author(&self) -> Author {
        let written_at = Some(time::written_at(self.sent_at, self.received_at));
        Author { sender: self.sender.clone(), waba_id: self.waba_id.clone(), written_at }
    }

    /// Its wamid as a field of a log line.
    pub(crate) fn short_wamid(&self) -> Option<DisplayValue<ShortWamid<'_>>> {
        self.key.wamid().map(|wamid| ShortWamid::field(wamid.as_str()))
    }
}

/// Who wrote a message.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Writer {
    /// A person, to the business.
    Person,
    /// The business, to a person.
    Business,
}

impl Writer {
    /// What kind of update such a message is.
    fn update(self) -> UpdateKind {
        match self {
            Self::Person => UpdateKind::Message,
            Self::Business => UpdateKind::Echo,
        }
    }

    /// What a value holds such messages in.
    fn list(self) -> &'static str {
        match self {
            Self::Person => "messages",
            Self::Business => "message_echoes",
        }
    }

    /// The webhook field that a message came in, unless it is the one for messages that are to be answered.
    fn field<'a>(self, received: &ReceivedMessage<'a>) -> Option<Cow<'a, str>> {
        let field = lenient::filled_text(received.field).filter(|field| field != "messages");
        match self {
            Self::Person => field,
            // Whatever field it came in, its row says that no program wrote it.
            Self::Business => field.or(Some(Cow::Borrowed(self.list()))),
        }
    }

    /// The person of a message that came with this contact.
    fn of_contact(self, contact: Option<&RawValue>, message: &Object<'_>) -> Option<Sender> {
        let contacts = Contacts::read(contact);
        match self {
            Self::Person => contacts.author(message).0,
            Self::Business => contacts.recipient(message).0,
        }
    }
}

impl fmt::Debug for Incoming {
    /// Without what was written, and by whom.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Incoming");
        debug.field("key", &self.key).field("sender", &self.sender).field("content", &self.content);
        debug.finish_non_exhaustive()
    }
}
