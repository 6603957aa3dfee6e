//! Finding every message in what Meta posted.
//!
//! A request holds several `entry`, each several `changes`, each several `messages`, in any mix. Fields
//! and types that are not known here are normal. What cannot be read is named in [`Updates::ignored`],
//! and never makes the rest of the request unreadable.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::lenient;

use crate::people::{Contacts, Person};

/// `object` of every webhook of the WhatsApp Business Platform.
const WHATSAPP: &str = "whatsapp_business_account";

/// What one request brought.
#[derive(Debug, Default)]
pub struct Updates<'a> {
    /// Its messages, in the order in which they stand in it.
    pub messages: Vec<Update<'a>>,
    /// Everything else.
    pub ignored: Vec<Ignored>,
}

/// One message and what Meta said around it.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    /// `entry[].id`
    pub waba_id: Option<&'a RawValue>,
    /// `changes[].field`
    pub field: Option<&'a RawValue>,
    /// `value.metadata`
    pub metadata: Option<&'a RawValue>,
    /// The sender's entry in `value.contacts`, where one is the sender's
    pub contact: Option<&'a RawValue>,
    /// Who the message and that contact say the sender is
    pub sender: Person<'a>,
    /// `value.messages[]`
    pub message: &'a RawValue,
}

/// Something in a request that was not queued.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ignored {
    /// What it is, in Meta's terms, such as `status delivered` or `field account_update`.
    pub what: String,
    /// Why it was not queued.
    pub why: &'static str,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// A body that is not one of WhatsApp's.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PayloadError {
    /// Not JSON at all.
    #[error("the body is not JSON")]
    NotJson,
    /// JSON of another product or shape.
    #[error("the body is not a webhook of the WhatsApp Business Platform")]
    NotWhatsApp,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    entry: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    changes: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow, default)]
    field: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Value<'a> {
    #[serde(borrow, default)]
    metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    contacts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    messages: Option<&'a RawValue>,
    #[serde(borrow, default)]
    statuses: Option<&'a RawValue>,
    #[serde(borrow, default)]
    errors: Option<&'a RawValue>,
}

/// Reads a request's body.
///
/// # Errors
/// When it is not JSON, or not WhatsApp's: nothing in it can be a message.
pub fn read(body: &[u8]) -> Result<Updates<'_>, PayloadError> {
    let json: &RawValue = serde_json::from_slice(body).map_err(|_| PayloadError::NotJson)?;
    let payload: Payload = lenient::read(Some(json)).ok_or(PayloadError::NotWhatsApp)?;
    if lenient::text(payload.object).is_some_and(|object| object != WHATSAPP) {
        return Err(PayloadError::NotWhatsApp);
    }
    let mut updates = Updates::default();
    for raw in payload.entry {
        let Some(entry) = lenient::read::<Entry>(Some(raw)) else {
            updates.ignore("an entry", "it is not an object");
            continue;
        };
        for raw in lenient::array(entry.changes) {
            match lenient::read::<Change>(Some(raw)) {
                Some(change) => updates.add(entry.id, &change),
                None => updates.ignore("a change", "it is not an object"),
            }
        }
    }
    Ok(updates)
}

impl<'a> Updates<'a> {
    fn ignore(&mut self, what: impl Into<String>, why: &'static str) {
        self.ignored.push(Ignored { what: what.into(), why });
    }

    fn add(&mut self, waba_id: Option<&'a RawValue>, change: &Change<'a>) {
        let field = lenient::filled_text(change.field).unwrap_or(Cow::Borrowed("without a name"));
        let Some(value) = lenient::read::<Value>(change.value) else {
            return self.ignore(format!("field {field}"), "its value is not an object");
        };
        let messages = lenient::array(value.messages);
        let statuses = lenient::array(value.statuses);
        let errors = lenient::array(value.errors);
        if messages.is_empty() && statuses.is_empty() && errors.is_empty() {
            return self.ignore(format!("field {field}"), "only messages are handled yet");
        }
        let contacts = Contacts::read(value.contacts);
        for message in messages {
            let (sender, contact) = contacts.author(message);
            self.messages.push(Update {
                waba_id,
                field: change.field,
                metadata: value.metadata,
                contact,
                sender,
                message,
            });
        }
        for status in statuses {
            let status = StatusName::read(status);
            self.ignore(format!("status {status}"), "statuses are not recorded yet");
        }
        for _ in errors {
            self.ignore("an error of the account", "errors are not recorded yet");
        }
    }
}

struct StatusName;

impl StatusName {
    fn read(status: &RawValue) -> String {
        #[derive(Deserialize)]
        struct Status<'a> {
            #[serde(borrow, default)]
            status: Option<&'a RawValue>,
        }
        let name =
            lenient::read::<Status>(Some(status)).and_then(|status| lenient::filled_text(status.status));
        name.map_or_else(|| "without a name".to_owned(), Cow::into_owned)
    }
}
