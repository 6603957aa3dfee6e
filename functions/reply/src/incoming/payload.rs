//! What the row of a message that came by webhook keeps besides its words: the column `payload`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;
use shared::envelope::{Cut, ReceivedMessage};
use shared::lenient::{Object, storable};

use super::content::{Content, Media};

/// The column, as JSON: what is used most, in the same place for all types, and the message as Meta sent it.
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
    /// What was lost because SQS takes no larger message.
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<Cut>,
    raw: Box<RawValue>,
}

/// The message that this one answers.
#[derive(Serialize)]
struct Quoted {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

/// The column `payload` of a message, as JSON that PostgreSQL can hold. `field` is the webhook field that it came in, when
/// that is not `messages`.
#[must_use]
pub fn payload(
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
        referral: message.get("referral").and_then(kept),
        group_id: message.string("group_id"),
        field: field.map(Into::into),
        contact: received.contact.and_then(kept),
        cut: received.cut,
        raw: kept(received.message).unwrap_or_default(),
    };
    let payload = serde_json::to_string(&payload).unwrap_or_default();
    // The texts that were read have lost their escapes, and can hold what the raw ones no longer do.
    let readable = serde_json::from_str::<&RawValue>(&payload).map(|payload| storable(payload).into_owned());
    readable.unwrap_or_else(|_| "{}".to_owned())
}

fn kept(raw: &RawValue) -> Option<Box<RawValue>> {
    RawValue::from_string(storable(raw).into_owned()).ok()
}
