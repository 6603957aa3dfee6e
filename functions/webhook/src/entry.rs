//! Conversion of an update to an entry of the inbound queue.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{Context, SHA256};
use serde_json::value::RawValue;
use shared::lambda::logging::{ShortWamid, plain};
use shared::lambda::names::UpdateKind;
pub use shared::meta::envelope::MAX_BODY;
use shared::meta::envelope::{Envelope, ReceivedEvent, ReceivedMessage, ReceivedStatus, Truncation, V1};
use shared::meta::identity::{IdentityChange, USER_ID_UPDATE};
use shared::meta::lenient::Object;
use shared::meta::sender::Sender;
use shared::text::head;

use crate::payload::{Kind, Update};
use crate::truncate;

/// Maximum size in bytes of each field of an update's context. A larger field is left out; Meta's are far smaller.
const MAX_CONTEXT_FIELD: usize = 16 * 1024;

/// Maximum size in bytes of one context field, times the updates of the request: 4 KiB each for a thousand updates.
const MAX_CONTEXT_ALL: usize = 4 * 1024 * 1024;

/// Maximum number of messages of one group that a request sends in order. Calls with messages of one group are
/// sequential, ten messages each: at 100 ms a call, five seconds. The messages after them get another group.
const MAX_IN_ORDER: usize = 500;

/// Maximum number of characters of an event's name.
const MAX_NAME: usize = 256;

/// One message of the inbound queue, before it is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// A description for the log.
    pub subject: Subject,
    /// The message group: one business number and one sender. Its messages are handled sequentially. Statuses of one
    /// message share a group, and an event has its own, so that neither delays a message. An identity change (a new
    /// phone number or user id of a user) is in the group of the new identity, so that messages under the new identity
    /// wait for it.
    pub message_group_id: String,
    /// The deduplication id, one for each wamid: SQS drops a second entry with the same id for five minutes.
    pub deduplication_id: String,
    /// The envelope, at most [`MAX_BODY`] bytes.
    pub body: String,
}

/// The description of an entry in the log. `Debug` and `Display` show the [`ShortWamid`].
#[derive(Clone, Eq, PartialEq)]
pub struct Subject {
    /// The kind of the update.
    pub update: UpdateKind,
    /// Meta's id of the message.
    pub wamid: Option<String>,
    /// The name of the status or event.
    pub name: Option<String>,
    /// The size in bytes before truncation; `None` when the update fits the queue.
    pub original_bytes: Option<usize>,
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
        debug.field("original_bytes", &self.original_bytes).finish()
    }
}

impl Entry {
    /// Converts the updates of a request that arrived at `received_at`, in the request's order.
    ///
    /// # Errors
    /// Never in practice; see [`Envelope::to_body`].
    pub fn all(updates: &[Update<'_>], received_at: DateTime<Utc>) -> Result<Vec<Self>, serde_json::Error> {
        // Whole milliseconds: the microseconds below hold the position in the request.
        let received_at =
            DateTime::from_timestamp_millis(received_at.timestamp_millis()).unwrap_or(received_at);
        let times = (0..).map(|position| received_at + TimeDelta::microseconds(position));
        let max_context = (MAX_CONTEXT_ALL / updates.len().max(1)).min(MAX_CONTEXT_FIELD);
        let mut entries: Vec<_> = updates
            .iter()
            .zip(times)
            .map(|(update, at)| Self::new(update, at, max_context))
            .collect::<Result<_, _>>()?;
        split_groups(&mut entries);
        Ok(entries)
    }

    fn new(
        update: &Update<'_>,
        received_at: DateTime<Utc>,
        max_context: usize,
    ) -> Result<Self, serde_json::Error> {
        let context = |raw: Option<_>| raw.filter(|raw: &&RawValue| raw.get().len() <= max_context);
        let id = |raw| context(raw).map_or("", RawValue::get);
        let [waba_id, time, field, metadata] =
            [update.waba_id, update.time, update.field, update.metadata].map(context);
        let number = &update.number;
        match &update.kind {
            Kind::Message { sender: user, contact, wamid, message, .. }
            | Kind::Echo { recipient: user, contact, wamid, message } => {
                let is_echo = matches!(update.kind, Kind::Echo { .. });
                let kind = if is_echo { UpdateKind::Echo } else { UpdateKind::Message };
                let deduplication_id = match wamid {
                    Some(wamid) if is_echo => hash(&["echo", "wamid", wamid]),
                    Some(wamid) => hash(&["wamid", wamid]),
                    // Without an id, only messages with identical JSON are duplicates.
                    None => hash(&[kind.name(), message.get()]),
                };
                // A message that the business wrote to a user is ordered among the messages of that user.
                // An identity change is ordered before the messages under the new identity.
                let new_identity = match &update.kind {
                    Kind::Message { new_identity, .. } => new_identity.as_ref(),
                    _ => None,
                };
                let group = new_identity.or(user.as_ref()).map(|user| group(number, user));
                let (contact, user) = (context(*contact), user.as_ref());
                let (body, original_bytes) = body(message, |message, truncation| {
                    let sender = user.cloned();
                    let message = ReceivedMessage {
                        received_at,
                        waba_id,
                        field,
                        metadata,
                        contact,
                        sender,
                        truncation,
                        message,
                    };
                    Envelope::V1(if is_echo { V1::Echo(message) } else { V1::Message(message) }).to_body()
                })?;
                Ok(Self {
                    subject: Subject { update: kind, wamid: wamid.clone(), name: None, original_bytes },
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
                let (body, original_bytes) = body(status, |status, truncation| {
                    let status = ReceivedStatus { received_at, waba_id, metadata, truncation, status };
                    Envelope::V1(V1::Status(status)).to_body()
                })?;
                let name = fields.filled_text("status").map(|name| plain(&name).to_owned());
                Ok(Self {
                    subject: Subject { update: UpdateKind::Status, wamid, name, original_bytes },
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
                let (body, original_bytes) = body(value, |value, truncation| {
                    let name = name.clone();
                    let event =
                        ReceivedEvent { received_at, time, waba_id, metadata, name, truncation, value };
                    Envelope::V1(V1::Event(event)).to_body()
                })?;
                let name = Some(plain(&name).to_owned());
                Ok(Self {
                    subject: Subject { update: UpdateKind::Event, wamid: None, name, original_bytes },
                    message_group_id: group.unwrap_or_else(|| deduplication_id.clone()),
                    deduplication_id,
                    body,
                })
            }
        }
    }
}

/// Splits groups that are too long for sequential calls.
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

/// Returns the group of a sender's messages to a business number.
///
/// The user id, from the message or from the sender's contact, takes precedence over the number: since April 2026
/// every message carries a user id, but not every message a phone number.
fn group(business_number: &str, sender: &Sender) -> String {
    match (sender.user_id(), sender.number()) {
        (Some(user_id), _) => hash(&["group", business_number, user_id.as_str()]),
        (None, Some(number)) => hash(&["group", business_number, &number.comparable()]),
        (None, None) => hash(&["group", business_number]),
    }
}

/// Writes the body with as much of `json` as fits; returns it with the size of `json` if that was truncated.
fn body(
    json: &RawValue,
    write: impl Fn(&RawValue, Option<Truncation>) -> Result<String, serde_json::Error>,
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
        // The first estimate does not include the context and the escapes of characters that SQS refuses.
        let excess = body.len().saturating_sub(MAX_BODY);
        budget = budget.saturating_sub(excess.max(1024)).max(64);
        let Some((truncated, truncation)) = truncate::fit(json, budget) else { continue };
        body = write(&truncated, Some(truncation))?;
        if body.len() <= MAX_BODY {
            return Ok((body, Some(json.get().len())));
        }
    }
}

/// Returns SHA-256 in 64 hexadecimal digits. A wamid and a user id can be longer than the 128 characters that SQS
/// allows and can hold characters that it refuses; and a phone number must not be readable in a queue's metrics and
/// logs.
fn hash(parts: &[&str]) -> String {
    let mut context = Context::new(&SHA256);
    for (position, part) in parts.iter().enumerate() {
        if position > 0 {
            context.update(b"\n");
        }
        context.update(part.as_bytes());
    }
    let mut digits = [0; 64];
    // Neither call fails: a digest has 32 bytes, and hexadecimal digits are UTF-8.
    let _ = hex::encode_to_slice(context.finish(), &mut digits);
    String::from_utf8(digits.to_vec()).unwrap_or_default()
}
