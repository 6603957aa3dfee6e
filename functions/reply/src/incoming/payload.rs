//! The column `payload` of a received message: its data beyond the text.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use shared::meta::envelope::{ReceivedMessage, Truncation};
use shared::meta::lenient::{Object, storable};

use super::content::{Content, Media};

/// The column, as JSON: the most used fields, in the same place for all types, and Meta's raw message.
#[derive(Serialize)]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<[&'a Media; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quoted: Option<Quoted>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forwarded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    referral: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<String>,
    /// The webhook field, when it is not `messages`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contact: Option<Box<RawValue>>,
    /// The data lost because it exceeded the size limit of SQS.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncation: Option<Truncation>,
    raw: Box<RawValue>,
}

/// The message that this one quotes.
#[derive(Serialize)]
struct Quoted {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

/// Returns the column `payload` of a message, as JSON that PostgreSQL can store. `field` is its webhook field, unless that
/// is `messages`.
#[must_use]
pub(super) fn payload(
    received: &ReceivedMessage<'_>,
    field: Option<Cow<'_, str>>,
    message: &Object<'_>,
    content: &Content,
) -> String {
    let context = message.object("context");
    let quoted = Quoted { id: context.string("id"), from: context.string("from") };
    let is = |key| context.read(key).unwrap_or(false);
    let payload = Payload {
        media: content.media().map(|media| [media]),
        quoted: (quoted.id.is_some() || quoted.from.is_some()).then_some(quoted),
        forwarded: is("forwarded") || is("frequently_forwarded"),
        referral: message.get("referral").and_then(storable_value),
        group_id: message.string("group_id"),
        field: field.map(Into::into),
        contact: received.contact.and_then(storable_value),
        truncation: received.truncation,
        raw: storable_value(received.message).unwrap_or_default(),
    };
    let payload = serde_json::to_string(&payload).unwrap_or_default();
    // Parsed strings are unescaped, and may contain characters that were replaced in the raw values.
    let readable = serde_json::from_str::<&RawValue>(&payload).map(|payload| storable(payload).into_owned());
    readable.unwrap_or_else(|_| "{}".to_owned())
}

fn storable_value(raw: &RawValue) -> Option<Box<RawValue>> {
    RawValue::from_string(storable(raw).into_owned()).ok()
}
