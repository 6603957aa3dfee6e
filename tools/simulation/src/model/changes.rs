//! Changes of users' numbers and user ids: drawing, and Meta's payloads.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::model::faults::Chance;
use crate::model::person::Person;

/// Number and user id of a user.
pub type Identity = (Option<String>, Option<String>);

/// A change of a user's number, user id or link.
#[derive(Clone, Copy, Debug)]
pub enum IdentityEvent {
    /// A user gets another number, user id or both, and Meta sends the change; the user may get the former
    /// identity back later, or in the same second.
    Moves {
        /// Index of the user.
        sender: usize,
        /// Whether the user gets the former identity back.
        back: bool,
        /// Whether that happens in the same second.
        at_once: bool,
    },
    /// Meta sends a change from long ago, or sends a change in a field where it must be ignored.
    False {
        /// Index of the user.
        sender: usize,
        /// Whether the change is from long ago.
        long_ago: bool,
    },
    /// A user gets another number, another user gets the former one, and an operator relinks both.
    TransfersNumber {
        /// Index of the former owner.
        from: usize,
        /// Index of the next owner.
        to: usize,
    },
    /// An operator removes the number or the user id from a link: now, or while the link is being completed.
    Unlinks {
        /// Index of the user.
        sender: usize,
        /// Whether it happens now.
        now: bool,
    },
}

/// An identity change sent by Meta.
#[derive(Debug)]
pub struct Change {
    /// Index of the user.
    pub sender: usize,
    /// Version of the user's identity after the change; no valid version if the change is false.
    pub version: usize,
    /// The business number that receives the change.
    pub number: String,
    /// Whether the database has applied it, or the same change for another business number.
    pub applied: bool,
    /// Identity before the change.
    pub previous: Identity,
    /// Identity after the change.
    pub current: Identity,
    /// Time of the change, in seconds since 1970.
    pub at: u64,
    /// Format of the change.
    pub form: Form,
}

/// Format of an identity change in the payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// A `system` message of the field `messages`.
    System,
    /// The field `user_id_update`.
    Update,
    /// A `system` message of another field.
    Elsewhere(&'static str),
}

/// An operator's removal of an identity from a link.
#[derive(Debug)]
pub struct Removal {
    /// Index of the user.
    pub sender: usize,
    /// Whether a number and a user id are left.
    pub left: (bool, bool),
    /// Messages written before the removal, by wamid.
    pub written: BTreeSet<String>,
}

/// Draws the changes and their times.
pub fn draw(chance: &mut Chance, senders: &[Person], span: u64) -> Vec<(u64, IdentityEvent)> {
    let mut identity_events = Vec::new();
    let mut taken: Option<usize> = None;
    for (sender, person) in senders.iter().enumerate() {
        if taken == Some(sender) {
            continue;
        }
        let back = chance.in_1000(500);
        let next = sender + 1;
        let what = match chance.between(0, 9) {
            0..=3 => Some(IdentityEvent::Moves { sender, back, at_once: chance.in_1000(400) }),
            4 | 5 if person.number.is_some() && next < senders.len() => {
                taken = Some(next);
                Some(IdentityEvent::TransfersNumber { from: sender, to: next })
            }
            6 | 7 => Some(IdentityEvent::Unlinks { sender, now: chance.in_1000(500) }),
            _ => None,
        };
        identity_events.extend(what.map(|what| (chance.between(0, span), what)));
        if matches!(what, None | Some(IdentityEvent::Moves { .. })) && chance.in_1000(500) {
            let what = IdentityEvent::False { sender, long_ago: chance.in_1000(500) };
            identity_events.push((chance.between(0, 2 * span), what));
        }
    }
    identity_events
}

impl Change {
    /// The entry of the payload.
    #[must_use]
    pub fn entry(&self, mark: &str, metadata: &Value, everywhere: bool) -> Value {
        let (previous, current, at) = (&self.previous, &self.current, self.at.to_string());
        let field = match self.form {
            Form::Update => {
                let ids = json!({"previous": previous.1, "current": current.1});
                let mut update = json!({"user_id": ids, "detail": mark, "timestamp": at});
                if let Some(number) = &previous.0 {
                    update["wa_id"] = json!(number);
                }
                let value = json!({"metadata": metadata, "user_id_update": [update]});
                return entry("user_id_update", &value);
            }
            Form::System => "messages",
            Form::Elsewhere(_) if everywhere => "messages",
            Form::Elsewhere(field) => field,
        };
        let mut system = json!({"type": "user_changed_user_id"});
        let mut message = json!({"id": mark, "timestamp": at, "type": "system"});
        if let (Some(was), Some(is)) = (&previous.0, &current.0) {
            message["from"] = json!(was);
            system["type"] = json!("user_changed_number");
            system["wa_id"] = json!(is);
        }
        if let (Some(was), Some(is)) = (&previous.1, &current.1) {
            system["previous_user_id"] = json!(was);
            system["user_id"] = json!(is);
        }
        message["system"] = system;
        entry(field, &json!({"metadata": metadata, "messages": [message]}))
    }
}

fn entry(field: &str, value: &Value) -> Value {
    json!({"id": "419561257915477", "changes": [{"field": field, "value": value}]})
}
