//! Finds every update in a request's body: messages, statuses and events.
//!
//! A body holds several `entry`, each several `changes`, each several `messages` and `statuses`, in any mix. Unknown
//! fields and types are normal. Everything other than a message (of a user or of the business) or a status is an event,
//! under Meta's name for it. No part of a body is dropped, and no part makes the rest unreadable.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use shared::meta::contacts::Contacts;
use shared::meta::identity::IdentityChange;
use shared::meta::lenient::{self, Object};
use shared::meta::sender::Sender;

use crate::readable::{Readable, Unreadable};

/// `object` of every webhook of the WhatsApp Business Platform.
const WHATSAPP: &str = "whatsapp_business_account";

/// Fields of a value that belong to its updates.
const ABOUT_UPDATES: [&str; 3] = ["messaging_product", "metadata", "contacts"];

/// Maximum number of events that a value can hold next to its messages; with more, the whole value is one event.
const MAX_OTHERS: usize = 16;

/// Maximum number of messages and statuses of a body that are separate updates, and of events likewise. Meta documents
/// 1,000 updates in all.
const MAX_UPDATES: usize = 2000;

/// Maximum size in bytes of the stored part of the surplus: the updates beyond [`MAX_UPDATES`].
const MAX_SURPLUS: usize = 768 * 1024;

/// The name of the event that holds the surplus.
pub(crate) const SURPLUS: &str = "surplus";

/// Maximum size in bytes of a webhook field's name, and of a phone number id. A longer one counts as absent, because it
/// would be copied for every update.
const MAX_NAME: usize = 256;

/// One update of a request, with its context in the body.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    /// `entry[].id`
    pub waba_id: Option<&'a RawValue>,
    /// `entry[].time`
    pub time: Option<&'a RawValue>,
    /// `changes[].field`
    pub field: Option<&'a RawValue>,
    /// `value.metadata`
    pub metadata: Option<&'a RawValue>,
    /// The phone number id in `metadata`; empty where there is none
    pub number: Cow<'a, str>,
    /// The kind and content of the update
    pub kind: Kind<'a>,
}

/// The kind and content of an update.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// `value.messages[]`
    Message {
        /// The sender, according to the message and the sender's contact
        sender: Option<Sender>,
        /// The sender's entry in `value.contacts`, if there is one
        contact: Option<&'a RawValue>,
        /// Meta's id of the message
        wamid: Option<String>,
        /// The user's new identity, when the message is a change of phone number or user id
        new_identity: Option<Sender>,
        /// The message itself
        message: &'a RawValue,
    },
    /// `value.message_echoes[]`: a message that the business wrote in its app
    Echo {
        /// The recipient, according to the message and the recipient's contact
        recipient: Option<Sender>,
        /// The recipient's entry in `value.contacts`, if there is one
        contact: Option<&'a RawValue>,
        /// Meta's id of the message
        wamid: Option<String>,
        /// The message itself
        message: &'a RawValue,
    },
    /// `value.statuses[]`
    Status(&'a RawValue),
    /// Everything else
    Event {
        /// The webhook field, or the name of a field next to messages (`errors`, `messages.calls`)
        name: Cow<'a, str>,
        /// The event's content
        value: Cow<'a, RawValue>,
    },
}

/// Reads the updates of a request's body, in the body's order. An event `surplus` at the end holds the updates beyond
/// the limit, an event `unreadable` the unreadable part. Returns no updates for a body of another Meta product.
#[must_use]
pub fn read<'a>(body: &'a Readable<'_>) -> Vec<Update<'a>> {
    let mut updates = Updates::default();
    let mut is_foreign = !body.documents.is_empty();
    for document in &body.documents {
        is_foreign &= read_document(document, &mut updates) == Product::Other;
    }
    // A message outweighs the product's name, which may be damaged.
    if is_foreign && updates.messages_and_statuses == 0 {
        updates = Updates::default();
    }
    let surplus = updates.surplus();
    updates.list.into_iter().chain(surplus).chain(body.unreadable.as_ref().and_then(unreadable)).collect()
}

/// The updates of a body, at most [`MAX_UPDATES`] of a kind: a body of 3 MB can hold a million.
#[derive(Default)]
struct Updates<'a> {
    list: Vec<Update<'a>>,
    messages_and_statuses: usize,
    events: usize,
    surplus: Surplus<'a>,
}

/// The updates beyond [`MAX_UPDATES`].
#[derive(Default, Serialize)]
struct Surplus<'a> {
    /// The number of updates.
    updates: usize,
    /// The first of them, up to [`MAX_SURPLUS`] bytes.
    raw: Vec<Cow<'a, RawValue>>,
    #[serde(skip)]
    bytes: usize,
}

impl<'a> Updates<'a> {
    fn push(&mut self, update: Update<'a>) {
        let count = match update.kind {
            Kind::Event { .. } => &mut self.events,
            Kind::Message { .. } | Kind::Echo { .. } | Kind::Status(_) => &mut self.messages_and_statuses,
        };
        *count += 1;
        if *count <= MAX_UPDATES {
            return self.list.push(update);
        }
        let raw = match update.kind {
            Kind::Message { message: raw, .. } | Kind::Echo { message: raw, .. } | Kind::Status(raw) => {
                Cow::Borrowed(raw)
            }
            Kind::Event { value, .. } => value,
        };
        self.surplus.updates += 1;
        if self.surplus.bytes + raw.get().len() < MAX_SURPLUS {
            self.surplus.bytes += raw.get().len() + 1;
            self.surplus.raw.push(raw);
        }
    }

    fn extend(&mut self, updates: impl Iterator<Item = Update<'a>>) {
        updates.for_each(|update| self.push(update));
    }

    /// Returns the event of the surplus, if there is any.
    fn surplus(&self) -> Option<Update<'a>> {
        (self.surplus.updates > 0).then(|| event_of(SURPLUS, &self.surplus)).flatten()
    }
}

/// Returns an event with the content `value`. Never `None` in practice: `value` can always be serialized.
fn event_of<'a>(name: &'static str, value: &impl Serialize) -> Option<Update<'a>> {
    let value = to_raw_value(value).ok()?;
    Some(EntryContext::default().event(None, None, name.into(), Cow::Owned(value)))
}

/// The Meta product of a document, according to its field `object`.
#[derive(Eq, PartialEq)]
enum Product {
    WhatsApp,
    Other,
}

/// Adds the updates of one document; returns its product.
fn read_document<'a>(json: &'a RawValue, updates: &mut Updates<'a>) -> Product {
    let payload = Object::of(Some(json));
    let entries = payload.list("entry");
    if entries.is_empty() {
        // A change without its entry, as Meta's dashboard shows its samples, or another kind of document.
        EntryContext::default().add(json, "payload", updates);
    }
    for raw in entries {
        let entry = Object::of(Some(raw));
        let context = EntryContext { waba_id: entry.get("id"), time: entry.get("time") };
        let changes = entry.list("changes");
        if changes.is_empty() {
            updates.push(context.event(None, None, "entry".into(), Cow::Borrowed(raw)));
        }
        for change in changes {
            context.add(change, "change", updates);
        }
    }
    match payload.text("object") {
        Some(object) if object != WHATSAPP => Product::Other,
        _ => Product::WhatsApp,
    }
}

/// Returns the event of the unreadable part of a body.
fn unreadable(Unreadable { text, bytes }: &Unreadable) -> Option<Update<'static>> {
    #[derive(Serialize)]
    struct Part<'a> {
        bytes: usize,
        text: &'a str,
    }
    event_of("unreadable", &Part { bytes: *bytes, text })
}

/// The fields of an entry that apply to all of its changes.
#[derive(Clone, Copy, Default)]
struct EntryContext<'a> {
    waba_id: Option<&'a RawValue>,
    time: Option<&'a RawValue>,
}

impl<'a> EntryContext<'a> {
    /// Adds the updates of a change. JSON without a webhook field's name is an event named `fallback`.
    fn add(self, raw: &'a RawValue, fallback: &'static str, updates: &mut Updates<'a>) {
        let change = Object::of(Some(raw));
        let field = change.get("field");
        let name = lenient::filled_text(field).filter(|name| name.len() <= MAX_NAME);
        let name = name.unwrap_or(fallback.into());
        // A value without its change can still hold messages.
        let value = match change.get("value") {
            Some(value) => Some(Level::read(value)),
            None => Some(Level::read(raw)).filter(Level::holds_updates),
        };
        let Some(value) = value else {
            return updates.push(self.event(field, None, name, Cow::Borrowed(raw)));
        };
        let metadata = value.fields.get("metadata");
        let context = ChangeContext { entry: self, field, metadata, number: number(metadata) };
        context.add(name, &value, updates);
    }

    fn event(
        self,
        field: Option<&'a RawValue>,
        metadata: Option<&'a RawValue>,
        name: Cow<'a, str>,
        value: Cow<'a, RawValue>,
    ) -> Update<'a> {
        let Self { waba_id, time } = self;
        let number = number(metadata);
        Update { waba_id, time, field, metadata, number, kind: Kind::Event { name, value } }
    }
}

/// An object that can hold updates. A request is read level by level, each level once.
struct Level<'a> {
    raw: &'a RawValue,
    fields: Object<'a>,
    messages: Vec<&'a RawValue>,
    echoes: Vec<&'a RawValue>,
    statuses: Vec<&'a RawValue>,
}

/// The fields of a level that hold its updates.
const UPDATES: [&str; 3] = ["messages", "message_echoes", "statuses"];

impl<'a> Level<'a> {
    fn read(raw: &'a RawValue) -> Self {
        let fields = Object::of(Some(raw));
        let [messages, echoes, statuses] = UPDATES.map(|key| fields.list(key));
        Self { raw, fields, messages, echoes, statuses }
    }

    fn holds_updates(&self) -> bool {
        !(self.messages.is_empty() && self.echoes.is_empty() && self.statuses.is_empty())
    }
}

/// Returns the phone number id in `metadata`.
fn number(metadata: Option<&RawValue>) -> Cow<'_, str> {
    let number = Object::of(metadata).text("phone_number_id");
    number.filter(|number| number.len() <= MAX_NAME).unwrap_or_default()
}

/// The fields of a change that apply to all of its updates.
struct ChangeContext<'a> {
    entry: EntryContext<'a>,
    field: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    number: Cow<'a, str>,
}

impl<'a> ChangeContext<'a> {
    fn add(&self, name: Cow<'a, str>, value: &Level<'a>, updates: &mut Updates<'a>) {
        let fields = &value.fields;
        // While another app controls the conversation, its messages are one level deeper.
        let standby = fields.get("standby").map(Level::read).filter(Level::holds_updates);
        if let Some(standby) = &standby {
            self.add_level(&name, standby, &[], updates);
        }
        let has_errors_alone =
            fields.get("errors").is_some() && fields.fields().all(|(key, _)| is_about_updates(key));
        if value.holds_updates() || has_errors_alone || standby.is_some() {
            let is_read: &[&str] = if standby.is_some() { &["standby"] } else { &[] };
            self.add_level(&name, value, is_read, updates);
        } else {
            updates.push(self.update(Kind::Event { name, value: Cow::Borrowed(value.raw) }));
        }
    }

    /// Adds the updates of a level, and its other fields as events, except for the fields `is_read`.
    fn add_level(&self, name: &str, level: &Level<'a>, is_read: &[&str], updates: &mut Updates<'a>) {
        let Level { raw, fields: value, messages, echoes, statuses } = level;
        let contacts = Contacts::read(value.get("contacts"));
        for message in messages {
            let fields = Object::of(Some(message));
            let (sender, contact) = contacts.author(&fields);
            let wamid = fields.string("id");
            let is_system = fields.text("type").is_some_and(|kind| kind == "system");
            let change = || IdentityChange::of_system_message(&fields, &fields.object("system"));
            let new_identity = is_system.then(change).flatten().map(|change| change.current);
            updates.push(self.update(Kind::Message { sender, contact, wamid, new_identity, message }));
        }
        for message in echoes {
            let fields = Object::of(Some(message));
            let (recipient, contact) = contacts.recipient(&fields);
            updates.push(self.update(Kind::Echo { recipient, contact, wamid: fields.string("id"), message }));
        }
        updates.extend(statuses.iter().map(|status| self.update(Kind::Status(status))));
        let is_other =
            |key: &str| !is_about_updates(key) && !UPDATES.contains(&key) && !is_read.contains(&key);
        let others: Vec<_> = value.fields().filter(|(key, _)| is_other(key)).collect();
        if others.len() > MAX_OTHERS {
            updates
                .push(self.update(Kind::Event { name: name.to_owned().into(), value: Cow::Borrowed(raw) }));
        } else {
            updates.extend(others.into_iter().map(|(key, value)| {
                self.update(Kind::Event { name: format!("{name}.{key}").into(), value: Cow::Borrowed(value) })
            }));
        }
        if let Some(value) = value.get("errors") {
            updates.push(self.update(Kind::Event { name: "errors".into(), value: Cow::Borrowed(value) }));
        }
    }

    fn update(&self, kind: Kind<'a>) -> Update<'a> {
        let &Self { entry: EntryContext { waba_id, time }, field, metadata, ref number } = self;
        Update { waba_id, time, field, metadata, number: number.clone(), kind }
    }
}

/// Whether a field of a value belongs to its updates, or is `errors`, which is always an event of its own.
fn is_about_updates(key: &str) -> bool {
    key == "errors" || ABOUT_UPDATES.contains(&key)
}
