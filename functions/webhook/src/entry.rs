//! From an update to an entry of the inbound queue.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{Context, SHA256};
use serde_json::value::RawValue;
pub use shared::envelope::MAX_BODY;
use shared::envelope::{Cut, Envelope, ReceivedEvent, ReceivedMessage, ReceivedStatus, V1};
use shared::identity::{IdentityChange, USER_ID_UPDATE};
use shared::lenient::Object;
use shared::logging::{ShortWamid, plain};
use shared::names::UpdateKind;
use shared::sender::Sender;
use shared::text::head;

use crate::cut;
use crate::payload::{Kind, Update};

/// Bytes of what Meta says around an update, each. More than that is left out: it is never as much.
const MAX_AROUND: usize = 16 * 1024;

/// Bytes of the same for all updates of a request: around a thousand updates, 4 KiB each.
const MAX_AROUND_ALL: usize = 4 * 1024 * 1024;

/// Messages of a group that one request sends in order. Calls with one group's messages wait for one another, ten
/// messages each: with 100 ms a call, five seconds. Those behind them are another group.
const MAX_IN_ORDER: usize = 500;

/// Characters of an event's name at most.
const MAX_NAME: usize = 256;

/// One message of the inbound queue, before it is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// What it is, for the log.
    pub subject: Subject,
    /// Messages of one group are handled one after the other: one business number and one sender. A status has a group
    /// with others of the same message, an event has its own: neither ever holds a message up. An event that somebody has
    /// another number or user id is in the group in which they write from then on: their messages wait for it.
    pub message_group_id: String,
    /// SQS drops a second entry with the same id for five minutes: one wamid.
    pub deduplication_id: String,
    /// The envelope, at most [`MAX_BODY`] bytes.
    pub body: String,
}

/// What an entry is about. A log shows the [`ShortWamid`], as `Debug` and `Display` do.
#[derive(Clone, Eq, PartialEq)]
pub struct Subject {
    /// What kind of update it is.
    pub update: UpdateKind,
    /// Meta's id of the message.
    pub wamid: Option<String>,
    /// Which status or event it is.
    pub name: Option<String>,
    /// Bytes that it had, when it was too large for the queue.
    pub cut_from: Option<usize>,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wamid = self.wamid.as_deref().map(|wamid| ShortWamid::of(wamid).as_str());
        f.write_str(self.update.name())?;
        for part in [self.name.as_deref(), wamid].into_iter().flatten() {
            write!(f, " {part}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wamid = self.wamid.as_deref().map(ShortWamid::of);
        let mut debug = f.debug_struct("Subject");
        debug.field("update", &self.update.name()).field("wamid", &wamid).field("name", &self.name);
        debug.field("cut_from", &self.cut_from).finish()
    }
}

impl Entry {
    /// The entries of a request that arrived at `received_at`, in the request's order.
    ///
    /// # Errors
    /// Never in practice; see [`Envelope::to_body`].
    pub fn all(updates: &[Update<'_>], received_at: DateTime<Utc>) -> Result<Vec<Self>, serde_json::Error> {
        // Whole milliseconds: below them stands the position in the request.
        let received_at =
            DateTime::from_timestamp_millis(received_at.timestamp_millis()).unwrap_or(received_at);
        let times = (0..).map(|position| received_at + TimeDelta::microseconds(position));
        let max_around = (MAX_AROUND_ALL / updates.len().max(1)).min(MAX_AROUND);
        let mut entries: Vec<_> = updates
            .iter()
            .zip(times)
            .map(|(update, at)| Self::new(update, at, max_around))
            .collect::<Result<_, _>>()?;
        split_groups(&mut entries);
        Ok(entries)
    }

    fn new(
        update: &Update<'_>,
        received_at: DateTime<Utc>,
        max_around: usize,
    ) -> Result<Self, serde_json::Error> {
        let around = |raw: Option<_>| raw.filter(|raw: &&RawValue| raw.get().len() <= max_around);
        let id = |raw| around(raw).map_or("", RawValue::get);
        let [waba_id, time, field, metadata] =
            [update.waba_id, update.time, update.field, update.metadata].map(around);
        let number = &update.number;
        match &update.kind {
            Kind::Message { sender: person, contact, wamid, message, .. }
            | Kind::Echo { recipient: person, contact, wamid, message } => {
                let is_echo = matches!(update.kind, Kind::Echo { .. });
                let kind = if is_echo { UpdateKind::Echo } else { UpdateKind::Message };
                let deduplication_id = match wamid {
                    Some(wamid) if is_echo => hash(&["echo", "wamid", wamid]),
                    Some(wamid) => hash(&["wamid", wamid]),
                    // A message without an id is only ever the same as one of the very same text.
                    None => hash(&[kind.name(), message.get()]),
                };
                // What the business wrote to a person stands in order among that person's messages.
                // A change of number or user id stands before what the person writes as their new one.
                let becomes = match &update.kind {
                    Kind::Message { becomes, .. } => becomes.as_ref(),
                    _ => None,
                };
                let group = becomes.or(person.as_ref()).map(|person| group(number, person));
                let (contact, person) = (around(*contact), person.as_ref());
                let (body, cut_from) = body(message, |message, cut| {
                    let sender = person.cloned();
                    let message = ReceivedMessage {
                        received_at,
                        waba_id,
                        field,
                        metadata,
                        contact,
                        sender,
                        cut,
                        message,
                    };
                    Envelope::V1(if is_echo { V1::Echo(message) } else { V1::Message(message) }).to_body()
                })?;
                Ok(Self {
                    subject: Subject { update: kind, wamid: wamid.clone(), name: None, cut_from },
                    message_group_id: group.unwrap_or_else(|| deduplication_id.clone()),
                    deduplication_id,
                    body,
                })
            }
            Kind::Status(status) => {
                let fields = Object::of(Some(status));
                let wamid = fields.string("id");
                let deduplication_id = hash(&["status", status.get()]);
                let group = wamid.as_ref().map(|wamid| hash(&["status", number, wamid]));
                let (body, cut_from) = body(status, |status, cut| {
                    let status = ReceivedStatus { received_at, waba_id, metadata, cut, status };
                    Envelope::V1(V1::Status(status)).to_body()
                })?;
                let name = fields.filled_text("status").map(|name| plain(&name).to_owned());
                Ok(Self {
                    subject: Subject { update: UpdateKind::Status, wamid, name, cut_from },
                    message_group_id: group.unwrap_or_else(|| deduplication_id.clone()),
                    deduplication_id,
                    body,
                })
            }
            Kind::Event { name, value } => {
                let name = head(name, MAX_NAME).to_owned();
                let deduplication_id =
                    hash(&["event", id(waba_id), id(time), id(metadata), &name, value.get()]);
                let changes = if name == USER_ID_UPDATE {
                    IdentityChange::of_user_id_update(value)
                } else {
                    Vec::new()
                };
                let group = changes.first().map(|change| group(number, &change.current));
                let (body, cut_from) = body(value, |value, cut| {
                    let name = name.clone();
                    let event = ReceivedEvent { received_at, time, waba_id, metadata, name, cut, value };
                    Envelope::V1(V1::Event(event)).to_body()
                })?;
                let name = Some(plain(&name).to_owned());
                Ok(Self {
                    subject: Subject { update: UpdateKind::Event, wamid: None, name, cut_from },
                    message_group_id: group.unwrap_or_else(|| deduplication_id.clone()),
                    deduplication_id,
                    body,
                })
            }
        }
    }
}

/// Divides groups that are too long for calls one after the other.
fn split_groups(entries: &mut [Entry]) {
    if entries.len() <= MAX_IN_ORDER {
        return;
    }
    let mut sizes: HashMap<String, usize> = HashMap::new();
    for entry in entries {
        let size = sizes.entry(entry.message_group_id.clone()).or_default();
        let part = *size / MAX_IN_ORDER;
        *size += 1;
        if part > 0 {
            entry.message_group_id = hash(&["part", &part.to_string(), &entry.message_group_id]);
        }
    }
}

/// The group of a sender's messages to a business number.
///
/// By the user id before the number, whether the message itself gives it or the sender's contact: every
/// message carries one since April 2026, a phone number only some.
fn group(business_number: &str, sender: &Sender) -> String {
    match (sender.user_id(), sender.number()) {
        (Some(user_id), _) => hash(&["group", business_number, user_id.as_str()]),
        (None, Some(number)) => hash(&["group", business_number, &number.comparable()]),
        (None, None) => hash(&["group", business_number]),
    }
}

/// The body with as much of `json` as fits, and how large that was if it was too large.
fn body(
    json: &RawValue,
    write: impl Fn(&RawValue, Option<Cut>) -> Result<String, serde_json::Error>,
) -> Result<(String, Option<usize>), serde_json::Error> {
    let mut body = String::new();
    let mut budget = MAX_BODY;
    if json.get().len() <= budget {
        body = write(json, None)?;
        if body.len() <= MAX_BODY {
            return Ok((body, None));
        }
    }
    loop {
        // What stands around it, and characters that SQS wants escaped, are not in the first estimate.
        let excess = body.len().saturating_sub(MAX_BODY);
        budget = budget.saturating_sub(excess.max(1024)).max(64);
        let Some((kept, cut)) = cut::fit(json, budget) else { continue };
        body = write(&kept, Some(cut))?;
        if body.len() <= MAX_BODY {
            return Ok((body, Some(json.get().len())));
        }
    }
}

/// 64 hexadecimal digits. A wamid and a user id can be longer than the 128 characters that SQS allows, and
/// hold others than it allows; and a phone number must not be readable in a queue's metrics and logs.
fn hash(parts: &[&str]) -> String {
    let mut context = Context::new(&SHA256);
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            context.update(b"\n");
        }
        context.update(part.as_bytes());
    }
    let mut digits = [0; 64];
    // Neither fails: a digest has 32 bytes, and digits are text.
    let _ = hex::encode_to_slice(context.finish(), &mut digits);
    String::from_utf8(digits.to_vec()).unwrap_or_default()
}
