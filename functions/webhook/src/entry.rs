//! From a message to an entry of the inbound queue.

use chrono::{DateTime, TimeDelta, Utc};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::envelope::{Envelope, ReceivedMessage, V1};
use shared::lenient;

use crate::payload::Update;

/// One message of the inbound queue, before it is sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Meta's id of the message, for the log.
    pub wamid: Option<String>,
    /// Messages of one group are handled one after the other: one business number and one sender.
    pub message_group_id: String,
    /// SQS drops a second entry with the same id for five minutes: one wamid.
    pub deduplication_id: String,
    /// The envelope.
    pub body: String,
}

#[derive(Default, Deserialize)]
struct Identity<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    phone_number_id: Option<&'a RawValue>,
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
        updates.iter().zip(times).map(|(update, at)| Self::new(update, at)).collect()
    }

    fn new(update: &Update<'_>, received_at: DateTime<Utc>) -> Result<Self, serde_json::Error> {
        let envelope = Envelope::V1(V1::Message(ReceivedMessage {
            received_at,
            waba_id: update.waba_id,
            field: update.field,
            metadata: update.metadata,
            contact: update.contact,
            message: update.message,
        }));
        let identity: Identity = lenient::read(Some(update.message)).unwrap_or_default();
        let wamid = lenient::filled_text(identity.id);
        let deduplication_id = match &wamid {
            Some(wamid) => hash(&["wamid", wamid]),
            // A message without an id is only ever the same as one of the very same text.
            None => hash(&["message", update.message.get()]),
        };
        let group = Self::group(update).unwrap_or_else(|| deduplication_id.clone());
        Ok(Self {
            wamid: wamid.map(std::borrow::Cow::into_owned),
            message_group_id: group,
            deduplication_id,
            body: envelope.to_body()?,
        })
    }

    /// The group, or none when nothing says who the sender is.
    ///
    /// By the user id before the number, whether the message itself gives it or the sender's contact: every
    /// message carries one since April 2026, a phone number only some.
    fn group(update: &Update<'_>) -> Option<String> {
        let sender = update.sender.user_id.as_ref().or(update.sender.number.as_ref())?;
        let metadata: Metadata = lenient::read(update.metadata).unwrap_or_default();
        let number = lenient::filled_text(metadata.phone_number_id).unwrap_or_default();
        Some(hash(&["group", &number, sender]))
    }
}

/// 64 hexadecimal digits. A wamid and a user id can be longer than the 128 characters that SQS allows, and
/// hold others than it allows; and a phone number must not be readable in a queue's metrics and logs.
fn hash(parts: &[&str]) -> String {
    hex::encode(digest(&SHA256, parts.join("\n").as_bytes()))
}
