//! JSON of Meta's payloads: messages, statuses and events, in any mix.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Defect;
use crate::actors::webhook;
use crate::model::clock::EPOCH_SECONDS;
use crate::model::faults::Chance;
use crate::model::person::Person;
use crate::model::posts::Request;
use crate::model::questions::Written;
use crate::model::questions::{Kind, Question};
use crate::model::statuses::StatusUpdate;
use crate::model::world::State;

/// Content of a change for one business number.
#[derive(Default)]
struct ChangeContent {
    messages: Vec<Value>,
    contacts: Vec<Value>,
    statuses: Vec<Value>,
}

/// A message of the business itself, in a separate change.
fn echo(wamid: &str, written: &Written, person: &Person, seconds: u64) -> Value {
    let echoes = [echo_entry(wamid, person, seconds)];
    let value = json!({"messaging_product": "whatsapp", "metadata": metadata(&written.number), "message_echoes": echoes});
    json!({"field": "smb_message_echoes", "value": value})
}

/// The entry of `message_echoes`, at this many seconds since 1970.
fn echo_entry(wamid: &str, person: &Person, seconds: u64) -> Value {
    let mut entry = json!({"id": wamid, "from": "15550783881", "timestamp": seconds.to_string(),
        "type": "text", "text": {"body": format!("from the shop: {wamid}")}});
    for (key, id) in [("to", &person.number), ("to_user_id", &person.user_id)] {
        if let Some(id) = id {
            entry[key] = json!(id);
        }
    }
    entry
}

/// Builds a request with these messages and events, and the pending statuses.
pub fn request(state: &mut State, wamids: &[String], marks: &[String]) -> Request {
    let seconds = EPOCH_SECONDS + state.now / 1000;
    let everywhere = state.has_defect(Defect::ApplyFromEveryField);
    let State { chance, people, statuses, events, .. } = state;
    let statuses = std::mem::take(&mut statuses.waiting);
    for wamid in wamids {
        people.set_version(wamid, seconds);
    }
    let mut changes: BTreeMap<&str, ChangeContent> = BTreeMap::new();
    let echoes: Vec<_> = (wamids.iter())
        .filter_map(|wamid| Some((wamid, people.written.get(wamid)?)))
        .map(|(wamid, written)| echo(wamid, written, &people.senders[written.to], seconds))
        .collect();
    for wamid in wamids {
        let Some(question) = people.questions.get(wamid) else { continue };
        let sender = &people.senders[question.sender];
        let mut message = message(wamid, question, seconds);
        let contact = sender.name(chance, &people.links, &mut message);
        let change = changes.entry(&question.number).or_default();
        change.messages.push(message);
        change.contacts.extend(contact);
    }
    for update in &statuses {
        changes.entry(&update.number).or_default().statuses.push(status(update, chance));
    }
    let mut entries = Vec::new();
    if !changes.is_empty() || !echoes.is_empty() {
        let changes = changes.into_iter().map(|(number, change)| change.written(number));
        let changes: Vec<_> = changes.chain(echoes).collect();
        entries.push(json!({"id": "419561257915477", "changes": changes}));
    }
    entries.extend(marks.iter().map(|mark| match people.changes.get(mark) {
        Some(change) => change.entry(mark, &metadata(&change.number), everywhere),
        None => events.entry(mark, &metadata("106540352242921"), seconds),
    }));
    let payload = json!({"object": "whatsapp_business_account", "entry": entries});
    let of_statuses = statuses.iter().map(|update| format!("{} ({})", update.wamid, update.name));
    let what: Vec<_> = wamids.iter().chain(marks).cloned().chain(of_statuses).collect();
    Request { event: webhook::event(&payload.to_string()), statuses, what: what.join(", ") }
}

fn metadata(number: &str) -> Value {
    json!({"display_phone_number": "15550783881", "phone_number_id": number})
}

impl ChangeContent {
    fn written(self, number: &str) -> Value {
        let Self { messages, contacts, statuses } = self;
        let mut value = json!({"messaging_product": "whatsapp", "metadata": metadata(number)});
        for (name, list) in [("contacts", contacts), ("messages", messages), ("statuses", statuses)] {
            if !list.is_empty() {
                value[name] = json!(list);
            }
        }
        json!({"field": "messages", "value": value})
    }
}

fn message(wamid: &str, question: &Question, seconds: u64) -> Value {
    let Question { kind, text, refers_to, .. } = question;
    let body = match kind {
        Kind::Caption => json!({"id": "1", "mime_type": "image/jpeg", "caption": text}),
        Kind::Image => json!({"id": "1", "mime_type": "image/jpeg"}),
        Kind::Reaction => json!({"message_id": refers_to, "emoji": "👍"}),
        Kind::Edit => {
            json!({"original_message_id": refers_to, "message": {"type": "text", "text": {"body": text}}})
        }
        Kind::Hologram => json!({"depth": 3}),
        Kind::Tap => {
            let title = if text.ends_with(":link") { "Link" } else { "Not me" };
            json!({"type": "button_reply", "button_reply": {"id": text, "title": title}})
        }
        Kind::Text | Kind::Blank | Kind::Long | Kind::Poison | Kind::Stubborn | Kind::Code | Kind::Guess => {
            json!({"body": text})
        }
    };
    json!({"id": wamid, "timestamp": seconds.to_string(), "type": kind.name(), kind.name(): body})
}

/// The JSON of the same status varies.
fn status(update: &StatusUpdate, chance: &mut Chance) -> Value {
    let StatusUpdate { wamid, name, at, recipient, callback, .. } = update;
    let mut status = json!({"id": wamid, "status": name, "timestamp": at.to_string()});
    if !callback.is_empty() {
        status["biz_opaque_callback_data"] = json!(callback);
    }
    status[if recipient.contains('.') { "recipient_user_id" } else { "recipient_id" }] = json!(recipient);
    if *name == "failed" {
        status["errors"] = json!([{"code": 131_026, "title": "Message undeliverable"}]);
    }
    if chance.in_1000(300) {
        status["pricing"] = json!({"billable": true, "category": "service"});
    }
    status
}
