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
use shared::lenient::{self, Object};
use shared::logging::ShortWamid;
use shared::people::Contacts;
use shared::sender::Sender;
use shared::text::head;
use uuid::Uuid;

pub use content::Content;
pub use event::{Change, Event};
pub use status::{Category, Status};

use crate::graph::PhoneNumberId;
use crate::users::Author;

/// Characters of a type's name at most.
const MAX_KIND: usize = 64;

/// A message of a person, or one that the business wrote to a person.
#[derive(Clone, Eq, PartialEq)]
pub struct Incoming {
    /// Meta's id of the message, the wamid.
    pub wamid: Option<String>,
    /// From which the ids of its rows are derived: the wamid, or for lack of it something that its text gives.
    pub key: String,
    /// Who wrote it; `None` when nothing says so.
    pub sender: Option<Sender>,
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
    pub quotes: Option<String>,
    /// The name that the sender gave themselves.
    pub sender_name: Option<String>,
    /// Whether it is ours to answer: in a field such as `standby`, another app has the conversation.
    pub is_ours: bool,
    /// The column `payload`: JSON with the raw message and what is used most of it.
    pub payload: String,
    /// The same as an event, when nobody's history is its place: WhatsApp says something, or nothing says who wrote.
    pub event: Option<Event>,
}

impl Incoming {
    /// Reads a message. What cannot be read counts as absent.
    #[must_use]
    pub fn read(received: &ReceivedMessage<'_>) -> Self {
        Self::written_by(Writer::Person, received)
    }

    /// Reads a message that the business wrote itself, in its app: [`Self::sender`] is the person to whom it went.
    #[must_use]
    pub fn read_echo(received: &ReceivedMessage<'_>) -> Self {
        Self::written_by(Writer::Business, received)
    }

    fn written_by(writer: Writer, received: &ReceivedMessage<'_>) -> Self {
        let message = Object::of(Some(received.message));
        let (kind, content) = Content::read(&message);
        let kind = head(&kind.replace('\0', "\u{fffd}"), MAX_KIND).to_owned();
        // Before there was a sender in the envelope.
        let sender = received.sender.clone().or_else(|| writer.of_contact(received.contact, &message));
        let field = writer.field(received);
        let is_ours = field.is_none();
        let is_event = sender.is_none() || matches!(content, Content::System(_) | Content::Welcome);
        let event = is_event.then(|| {
            let mut event = Event::of_message(received, &format!("{}.{kind}", writer.list()));
            // What is told elsewhere, as in `history`, happened long ago.
            if writer == Writer::Person && matches!(content, Content::System(_)) && is_ours {
                let change = IdentityChange::of_system_message(&message, &message.object("system"));
                event.changes.extend(change.map(|change| Change::new(change, None, received.received_at)));
            }
            event
        });
        let wamid = message.string("id");
        Self {
            key: wamid.clone().unwrap_or_else(|| unnamed(received.message)),
            wamid,
            sender,
            waba_id: lenient::filled_text(received.waba_id).map(Into::into),
            phone_number_id: Object::of(received.metadata)
                .filled_text("phone_number_id")
                .and_then(|id| id.parse().ok()),
            received_at: received.received_at,
            sent_at: time::sent_at(message.get("timestamp"), received.received_at),
            group_id: message.string("group_id"),
            quotes: message.object("context").string("id"),
            sender_name: Object::of(received.contact).object("profile").string("name"),
            is_ours,
            payload: payload::payload(received, field, &message, &content),
            event,
            kind,
            content,
        }
    }

    /// By what its sender is looked up.
    #[must_use]
    pub fn author(&self, sender: &Sender) -> Author {
        let written_at = Some(time::written_at(self.sent_at, self.received_at));
        Author { sender: sender.clone(), waba_id: self.waba_id.clone(), written_at }
    }
}

/// The key of a message without a wamid begins with it.
pub const UNNAMED: &str = "unnamed.";

/// A message without an id is only ever the same as one of the very same text.
fn unnamed(message: &RawValue) -> String {
    format!("{UNNAMED}{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, message.get().as_bytes()))
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
        let wamid = self.wamid.as_deref().map(ShortWamid::of);
        debug.field("wamid", &wamid).field("sender", &self.sender).field("content", &self.content);
        debug.finish_non_exhaustive()
    }
}
