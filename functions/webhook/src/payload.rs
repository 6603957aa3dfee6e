//! Finding every update in what Meta posted: messages, statuses, and whatever else.
//!
//! A body holds several `entry`, each several `changes`, each several `messages` and `statuses`, in any mix. Fields
//! and types that are not known here are normal. What is neither a message, of a person or of the business, nor a status
//! is an event, under the name that Meta gives it; nothing is left out, and nothing makes the rest of the request
//! unreadable.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use shared::identity::IdentityChange;
use shared::lenient::{self, Object};
use shared::people::Contacts;
use shared::sender::Sender;

use crate::readable::{Readable, Unreadable};

/// `object` of every webhook of the WhatsApp Business Platform.
const WHATSAPP: &str = "whatsapp_business_account";

/// What stands in a value beside its updates and belongs to them.
const ABOUT_UPDATES: [&str; 3] = ["messaging_product", "metadata", "contacts"];

/// Events that a value can hold beside its messages; more of them are one event, the whole value.
const MAX_OTHERS: usize = 16;

/// Messages and statuses of a body that are updates by themselves, and events as many. Meta documents 1,000 of all.
const MAX_UPDATES: usize = 2000;

/// Bytes that are kept of what a body holds beyond that.
const MAX_SURPLUS: usize = 768 * 1024;

/// The name of the event that keeps it.
pub(crate) const SURPLUS: &str = "surplus";

/// Bytes of a webhook field's name, and of a business number's id, at most. Longer ones are none: each would be copied
/// for every update.
const MAX_NAME: usize = 256;

/// One thing that a request brought, and what Meta said around it.
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
    /// The id of the business number in it; empty where there is none
    pub number: Cow<'a, str>,
    /// What it is
    pub kind: Kind<'a>,
}

/// What an update is.
#[derive(Clone, Debug)]
pub enum Kind<'a> {
    /// `value.messages[]`
    Message {
        /// Who wrote it, as it and that contact say
        sender: Option<Sender>,
        /// The sender's entry in `value.contacts`, where one is the sender's
        contact: Option<&'a RawValue>,
        /// Meta's id of it
        wamid: Option<String>,
        /// By what somebody is known from now on, when it says that
        becomes: Option<Sender>,
        /// The message itself
        message: &'a RawValue,
    },
    /// `value.message_echoes[]`: what the business wrote itself
    Echo {
        /// To whom it went, as it and that contact say
        recipient: Option<Sender>,
        /// The recipient's entry in `value.contacts`, where one is the recipient's
        contact: Option<&'a RawValue>,
        /// Meta's id of it
        wamid: Option<String>,
        /// The message itself
        message: &'a RawValue,
    },
    /// `value.statuses[]`
    Status(&'a RawValue),
    /// Everything else
    Event {
        /// The webhook field, or what it is beside a field's messages (`errors`, `messages.calls`)
        name: Cow<'a, str>,
        /// What Meta said
        value: Cow<'a, RawValue>,
    },
}

/// Reads a request's body: its updates, in the order in which they stand in it. Behind them an event `surplus` keeps
/// those that are too many, and an event `unreadable` what cannot be read. None when the body is another product's.
#[must_use]
pub fn read<'a>(body: &'a Readable<'_>) -> Vec<Update<'a>> {
    let mut updates = Updates::default();
    let mut is_foreign = !body.documents.is_empty();
    for document in &body.documents {
        is_foreign &= read_document(document, &mut updates) == Product::Other;
    }
    // A message says more than a product's name, which may be damaged.
    if is_foreign && updates.messages_and_statuses == 0 {
        updates = Updates::default();
    }
    let surplus = updates.surplus();
    updates.list.into_iter().chain(surplus).chain(body.unreadable.as_ref().and_then(unreadable)).collect()
}

/// The updates of a body, at most [`MAX_UPDATES`] of a kind: a body of 3 MB has room for a million.
#[derive(Default)]
struct Updates<'a> {
    list: Vec<Update<'a>>,
    messages_and_statuses: usize,
    events: usize,
    surplus: Surplus<'a>,
}

/// What is too much.
#[derive(Default, Serialize)]
struct Surplus<'a> {
    /// How many updates it is.
    updates: usize,
    /// Those that [`MAX_SURPLUS`] has room for.
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

    /// The event of what is too much.
    fn surplus(&self) -> Option<Update<'a>> {
        (self.surplus.updates > 0).then(|| kept(SURPLUS, &self.surplus)).flatten()
    }
}

/// An event that keeps `value`. Never none in practice: it can be written.
fn kept<'a>(name: &'static str, value: &impl Serialize) -> Option<Update<'a>> {
    let value = to_raw_value(value).ok()?;
    Some(Surroundings::default().event(None, None, name.into(), Cow::Owned(value)))
}

/// Whose webhook a document says that it is.
#[derive(Eq, PartialEq)]
enum Product {
    WhatsApp,
    Other,
}

/// Reads one document.
fn read_document<'a>(json: &'a RawValue, updates: &mut Updates<'a>) -> Product {
    let payload = Object::of(Some(json));
    let entries = payload.list("entry");
    if entries.is_empty() {
        // A change by itself, as Meta's dashboard shows its samples, or something quite different.
        Surroundings::default().add(json, "payload", updates);
    }
    for raw in entries {
        let entry = Object::of(Some(raw));
        let around = Surroundings { waba_id: entry.get("id"), time: entry.get("time") };
        let changes = entry.list("changes");
        if changes.is_empty() {
            updates.push(around.event(None, None, "entry".into(), Cow::Borrowed(raw)));
        }
        for change in changes {
            around.add(change, "change", updates);
        }
    }
    match payload.text("object") {
        Some(object) if object != WHATSAPP => Product::Other,
        _ => Product::WhatsApp,
    }
}

/// The event that keeps what cannot be read.
fn unreadable(Unreadable { text, bytes }: &Unreadable) -> Option<Update<'static>> {
    #[derive(Serialize)]
    struct Part<'a> {
        bytes: usize,
        text: &'a str,
    }
    kept("unreadable", &Part { bytes: *bytes, text })
}

/// What an entry says about its changes.
#[derive(Clone, Copy, Default)]
struct Surroundings<'a> {
    waba_id: Option<&'a RawValue>,
    time: Option<&'a RawValue>,
}

impl<'a> Surroundings<'a> {
    /// Adds a change's updates. One that is no change is an event named `otherwise`.
    fn add(self, raw: &'a RawValue, otherwise: &'static str, updates: &mut Updates<'a>) {
        let change = Object::of(Some(raw));
        let field = change.get("field");
        let name = lenient::filled_text(field).filter(|name| name.len() <= MAX_NAME);
        let name = name.unwrap_or(otherwise.into());
        // Without its frame a value can still hold messages.
        let value = match change.get("value") {
            Some(value) => Some(Level::read(value)),
            None => Some(Level::read(raw)).filter(Level::holds_updates),
        };
        let Some(value) = value else {
            return updates.push(self.event(field, None, name, Cow::Borrowed(raw)));
        };
        let metadata = value.fields.get("metadata");
        let around = Value { surroundings: self, field, metadata, number: number(metadata) };
        around.add(name, &value, updates);
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

/// An object that can hold updates. A request is read level by level, each once.
struct Level<'a> {
    raw: &'a RawValue,
    fields: Object<'a>,
    messages: Vec<&'a RawValue>,
    echoes: Vec<&'a RawValue>,
    statuses: Vec<&'a RawValue>,
}

/// What a level holds its updates in.
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

/// The id of the business number that `metadata` names.
fn number(metadata: Option<&RawValue>) -> Cow<'_, str> {
    let number = Object::of(metadata).text("phone_number_id");
    number.filter(|number| number.len() <= MAX_NAME).unwrap_or_default()
}

/// What a change says about its updates.
struct Value<'a> {
    surroundings: Surroundings<'a>,
    field: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    number: Cow<'a, str>,
}

impl<'a> Value<'a> {
    fn add(&self, name: Cow<'a, str>, value: &Level<'a>, updates: &mut Updates<'a>) {
        let fields = &value.fields;
        // Where another app has the conversation, its messages stand one level deeper.
        let standby = fields.get("standby").map(Level::read).filter(Level::holds_updates);
        if let Some(standby) = &standby {
            self.add_level(&name, standby, &[], updates);
        }
        let has_errors_alone =
            fields.get("errors").is_some() && fields.fields().all(|(key, _)| is_beside(key));
        if value.holds_updates() || has_errors_alone || standby.is_some() {
            let is_read: &[&str] = if standby.is_some() { &["standby"] } else { &[] };
            self.add_level(&name, value, is_read, updates);
        } else {
            updates.push(self.update(Kind::Event { name, value: Cow::Borrowed(value.raw) }));
        }
    }

    /// Adds what stands in an object, except for the fields that are read already.
    fn add_level(&self, name: &str, level: &Level<'a>, is_read: &[&str], updates: &mut Updates<'a>) {
        let Level { raw, fields: value, messages, echoes, statuses } = level;
        let contacts = Contacts::read(value.get("contacts"));
        for message in messages {
            let fields = Object::of(Some(message));
            let (sender, contact) = contacts.author(&fields);
            let wamid = fields.string("id");
            let is_system = fields.text("type").is_some_and(|kind| kind == "system");
            let change = || IdentityChange::of_system_message(&fields, &fields.object("system"));
            let becomes = is_system.then(change).flatten().map(|change| change.current);
            updates.push(self.update(Kind::Message { sender, contact, wamid, becomes, message }));
        }
        for message in echoes {
            let fields = Object::of(Some(message));
            let (recipient, contact) = contacts.recipient(&fields);
            updates.push(self.update(Kind::Echo { recipient, contact, wamid: fields.string("id"), message }));
        }
        updates.extend(statuses.iter().map(|status| self.update(Kind::Status(status))));
        let is_other = |key: &str| !is_beside(key) && !UPDATES.contains(&key) && !is_read.contains(&key);
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
        let &Self { surroundings: Surroundings { waba_id, time }, field, metadata, ref number } = self;
        Update { waba_id, time, field, metadata, number: number.clone(), kind }
    }
}

/// Whether it belongs to the updates of a value, or is an event by itself in any case.
fn is_beside(key: &str) -> bool {
    key == "errors" || ABOUT_UPDATES.contains(&key)
}
