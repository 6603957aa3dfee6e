//! Webhook payloads of users and of Meta.

use chrono::Utc;
use local_graph::{Button, Received};
use local_stack::compose::{self, payload};
use serde::Serialize;
use serde_json::{Value, json};

use crate::phones::Phone;

/// The maximum number of messages of a burst.
const MAX_BURST: usize = 100;

/// The required target of a sample.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RefersTo {
    /// A message of the same phone.
    Own,
    /// A message of the business.
    Business,
}

/// A sample of a kind of message.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    id: &'static str,
    label: &'static str,
    refers_to: Option<RefersTo>,
    /// A file of `local/samples/messages`, and the payload in it.
    #[serde(skip)]
    source: (&'static str, &'static str),
}

macro_rules! source {
    ($file:literal, $name:literal) => {
        (include_str!(concat!("../../samples/messages/", $file, ".json")), $name)
    };
}

const fn sample(
    id: &'static str,
    label: &'static str,
    refers_to: Option<RefersTo>,
    source: (&'static str, &'static str),
) -> Sample {
    Sample { id, label, refers_to, source }
}

const OWN: Option<RefersTo> = Some(RefersTo::Own);
const BUSINESS: Option<RefersTo> = Some(RefersTo::Business);

/// Every kind of message that users send.
pub(crate) const SAMPLES: [Sample; 19] = [
    sample("image", "Image with caption", None, source!("image", "image with caption, phone number")),
    sample("sticker", "Sticker", None, source!("sticker", "sticker, phone number")),
    sample("voice", "Voice message", None, source!("audio", "voice message, phone number")),
    sample("video", "Video with caption", None, source!("video", "video with caption, phone number")),
    sample(
        "document",
        "Document",
        None,
        source!("document", "document with filename and caption, phone number"),
    ),
    sample("location", "Location", None, source!("location", "location with name and address, phone number")),
    sample("contacts", "Contact card", None, source!("contacts", "contact, phone number")),
    sample(
        "quote",
        "Text that quotes a reply",
        BUSINESS,
        source!("text", "text that quotes an answer, phone number"),
    ),
    sample("button", "Template button", BUSINESS, source!("button", "button of a template, phone number")),
    sample("button-reply", "Button reply", BUSINESS, source!("interactive", "button reply, phone number")),
    sample("list-reply", "List reply", BUSINESS, source!("interactive", "list reply, phone number")),
    sample("flow-reply", "Flow reply", BUSINESS, source!("interactive", "reply to a flow, phone number")),
    sample("reaction", "Reaction", BUSINESS, source!("reaction", "reaction, phone number")),
    sample(
        "reaction-removed",
        "Reaction removed",
        BUSINESS,
        source!("reaction", "reaction removed, phone number"),
    ),
    sample("edit", "Edit", OWN, source!("edit", "edit of a text, phone number")),
    sample("revoke", "Deleted for everyone", OWN, source!("revoke", "revoke, phone number")),
    sample("order", "Order", None, source!("order", "order with text, phone number")),
    sample("unsupported", "Unsupported message", None, source!("unsupported", "unsupported, phone number")),
    sample("future", "Unknown message type", None, source!("future", "type to come, phone number")),
];

/// Messages of one phone, ready to be posted.
#[derive(Debug)]
pub(crate) struct Composed {
    /// The payload.
    pub(crate) body: Vec<u8>,
    /// The messages' ids.
    pub(crate) wamids: Vec<String>,
}

/// A text.
pub(crate) fn text(phone: &Phone, text: &str) -> Composed {
    messages(phone, vec![compose::text(text)])
}

/// A tap on a button of the message `question`.
pub(crate) fn tap(phone: &Phone, question: &str, button: &Button) -> Composed {
    messages(phone, vec![compose::tap(question, button)])
}

/// `count` texts in one payload, as Meta may batch them.
///
/// # Errors
/// When `count` is zero or too large.
pub(crate) fn burst(phone: &Phone, count: usize) -> Result<Composed, String> {
    if !(1..=MAX_BURST).contains(&count) {
        return Err(format!("a burst must have 1 to {MAX_BURST} messages"));
    }
    let text = |n| compose::text(&format!("Message {n} of {count}"));
    Ok(messages(phone, (1..=count).map(text).collect()))
}

/// A sample, with the target `refers_to` if it requires one.
///
/// # Errors
/// When the sample is unknown, or its target is missing.
pub(crate) fn from_sample(phone: &Phone, id: &str, refers_to: Option<&str>) -> Result<Composed, String> {
    let sample = SAMPLES.iter().find(|sample| sample.id == id).ok_or("unknown sample")?;
    let target = match (sample.refers_to, refers_to) {
        (None, _) => None,
        (Some(_), Some(target)) => Some(target),
        (Some(_), None) => {
            return Err(format!("“{}” requires a target message: refers_to", sample.label));
        }
    };
    let mut message = sample.message().ok_or("the sample is invalid")?;
    if let Some(target) = target {
        point_at(&mut message, target);
    }
    Ok(messages(phone, vec![message]))
}

impl Sample {
    /// The sample's message, before its sender, id and time are replaced.
    fn message(&self) -> Option<Value> {
        let (file, name) = self.source;
        let payloads: Value = serde_json::from_str(file).ok()?;
        let message = payloads.get(name)?.pointer("/entry/0/changes/0/value/messages/0")?.clone();
        message.is_object().then_some(message)
    }
}

/// Replaces the target of a sample.
fn point_at(message: &mut Value, target: &str) {
    for pointer in
        ["/context/id", "/reaction/message_id", "/edit/original_message_id", "/revoke/original_message_id"]
    {
        if let Some(id) = message.pointer_mut(pointer) {
            *id = json!(target);
        }
    }
}

fn messages(phone: &Phone, messages: Vec<Value>) -> Composed {
    let mut wamids = Vec::new();
    let messages: Vec<Value> = messages
        .into_iter()
        .map(|mut message| {
            let wamid = compose::wamid();
            for key in ["from", "from_user_id"] {
                if let Some(fields) = message.as_object_mut() {
                    fields.remove(key);
                }
            }
            if let Some(number) = phone.sender.number() {
                message["from"] = json!(number.digits());
            }
            if let Some(user_id) = phone.sender.user_id() {
                message["from_user_id"] = json!(user_id.as_str());
            }
            message["id"] = json!(wamid);
            message["timestamp"] = json!(Utc::now().timestamp().to_string());
            wamids.push(wamid);
            message
        })
        .collect();
    Composed { body: payload(&json!({"contacts": [phone.contact()], "messages": messages})), wamids }
}

/// A status of a message to `phone`, with the callback data of its send: the webhook's `statuses`.
pub(crate) fn status(phone: &Phone, wamid: &str, callback_data: Option<&str>, status: &str) -> Vec<u8> {
    let mut entry = json!({"id": wamid, "status": status, "timestamp": Utc::now().timestamp().to_string()});
    if let Some(number) = phone.sender.number() {
        entry["recipient_id"] = json!(number.digits());
    }
    if let Some(user_id) = phone.sender.user_id() {
        entry["recipient_user_id"] = json!(user_id.as_str());
    }
    if let Some(data) = callback_data {
        entry["biz_opaque_callback_data"] = json!(data);
    }
    // Since 2026-10-01 each reply is billed when it is delivered. Source: “Pricing”, WhatsApp Business Platform
    // documentation.
    if matches!(status, "sent" | "delivered") {
        entry["pricing"] =
            json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": "service"});
    }
    payload(&json!({"contacts": [phone.contact()], "statuses": [entry]}))
}

/// The recipient address of a phone.
pub(crate) fn address(phone: &Phone) -> String {
    let number = phone.sender.number().map(|number| number.digits().to_owned());
    number.or_else(|| phone.sender.user_id().map(|id| id.as_str().to_owned())).unwrap_or_default()
}

/// The recipient of a message of the business: a number, or a user id.
pub(crate) fn recipient(received: &Received) -> &str {
    received.to.as_deref().or(received.recipient.as_deref()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use reply::delivery::Work;
    use webhook::entry::Entry;
    use webhook::readable::Readable;

    use super::*;
    use crate::phones::Phones;

    /// The kinds and targets that `reply` reads from a payload.
    fn kinds(composed: &Composed) -> Vec<(String, Option<String>)> {
        let body = Readable::of(&composed.body);
        let updates = webhook::payload::read(&body);
        let entries = Entry::all(&updates, Utc::now()).expect("entries");
        let work = entries.iter().map(|entry| Work::read(&entry.body).expect("work"));
        work.map(|work| match work {
            Work::Answer(message) => {
                assert!(composed.wamids.iter().any(|wamid| wamid == message.key.as_str()));
                (
                    message.kind.clone(),
                    message.content.refers_to().or(message.quotes.as_ref()).cloned().map(Into::into),
                )
            }
            other => panic!("{other:?}"),
        })
        .collect()
    }

    #[test]
    fn every_sample_is_a_valid_message_of_every_phone() {
        for phone in Phones::new().all() {
            for sample in SAMPLES {
                let composed = from_sample(phone, sample.id, Some("wamid.target")).expect("composed");
                let read = kinds(&composed);
                assert_eq!(read.len(), 1, "{}", sample.id);
                let target = sample.refers_to.map(|_| "wamid.target".to_owned());
                assert_eq!(read[0].1, target, "{}", sample.id);
                assert_eq!(from_sample(phone, sample.id, None).is_ok(), target.is_none(), "{}", sample.id);
            }
        }
    }

    #[test]
    fn a_burst_is_one_payload_with_distinct_ids() {
        let phones = Phones::new();
        let composed = burst(&phones.all()[0], 20).expect("composed");
        assert_eq!(kinds(&composed).len(), 20);
        let different: std::collections::HashSet<_> = composed.wamids.iter().collect();
        assert_eq!(different.len(), 20);
        assert!(burst(&phones.all()[0], 0).is_err() && burst(&phones.all()[0], MAX_BURST + 1).is_err());
    }

    #[test]
    fn a_status_is_read_as_the_status_of_its_message() {
        for phone in Phones::new().all() {
            let body = status(phone, "wamid.1", Some("data"), "delivered");
            assert!(String::from_utf8_lossy(&body).contains(r#""biz_opaque_callback_data":"data""#));
            let body = Readable::of(&body);
            let updates = webhook::payload::read(&body);
            let entries = Entry::all(&updates, Utc::now()).expect("entries");
            let work = Work::read(&entries[0].body).expect("work");
            assert_eq!(
                (work.update().name(), work.wamid(), work.name()),
                ("status", Some("wamid.1"), Some("delivered"))
            );
        }
    }
}
