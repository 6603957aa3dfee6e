//! What becomes of people's numbers and user ids, as it is drawn, and as Meta tells it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::faults::Chance;
use super::people::Person;

/// Number and user id of a person.
pub type Identity = (Option<String>, Option<String>);

/// What becomes of somebody's number, user id or link.
#[derive(Clone, Copy, Debug)]
pub enum Happening {
    /// A person gets another number, user id or both, and Meta tells; perhaps they get the former back later, or in the
    /// same second.
    Moves {
        /// Index of the person.
        sender: usize,
        /// Whether they get the former back.
        back: bool,
        /// Whether they get it in the same second, if so.
        at_once: bool,
    },
    /// Meta tells what happened long ago, or tells a change where it does not count.
    False {
        /// Index of the person.
        sender: usize,
        /// Whether it happened, long ago.
        long_ago: bool,
    },
    /// A person gets another number, somebody else gets theirs, and an operator links both anew.
    HandsOver {
        /// Index of the former owner.
        from: usize,
        /// Index of the next owner.
        to: usize,
    },
    /// An operator takes the number or the user id out of a link: now, or while something is being learned.
    Unlinks {
        /// Index of the person.
        sender: usize,
        /// Whether it is done now.
        now: bool,
    },
}

/// A change that Meta tells.
#[derive(Debug)]
pub struct Change {
    /// Index of the person.
    pub sender: usize,
    /// Which of their numbers and user ids it gives them; none of them if it is false.
    pub version: usize,
    /// The business number that is told.
    pub number: String,
    /// Whether the database has applied it, or one that says the same to another business number.
    pub applied: bool,
    /// What the person had.
    pub previous: Identity,
    /// What they have now.
    pub current: Identity,
    /// When it happened, in seconds since 1970.
    pub at: u64,
    /// How it is told.
    pub form: Form,
}

/// How Meta tells a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// A `system` message of the field `messages`.
    System,
    /// The field `user_id_update`.
    Update,
    /// A `system` message of another field.
    Elsewhere(&'static str),
}

/// What an operator took out of a link.
#[derive(Debug)]
pub struct TakenOut {
    /// Index of the person.
    pub sender: usize,
    /// Whether a number and a user id were left.
    pub left: (bool, bool),
    /// The messages that were written before, by wamid.
    pub written: BTreeSet<String>,
}

/// Draws what becomes of whom, and when.
pub fn draw(chance: &mut Chance, senders: &[Person], span: u64) -> Vec<(u64, Happening)> {
    let mut happenings = Vec::new();
    let mut taken: Option<usize> = None;
    for (sender, person) in senders.iter().enumerate() {
        if taken == Some(sender) {
            continue;
        }
        let back = chance.in_1000(500);
        let next = sender + 1;
        let what = match chance.between(0, 9) {
            0..=3 => Some(Happening::Moves { sender, back, at_once: chance.in_1000(400) }),
            4 | 5 if person.number.is_some() && next < senders.len() => {
                taken = Some(next);
                Some(Happening::HandsOver { from: sender, to: next })
            }
            6 | 7 => Some(Happening::Unlinks { sender, now: chance.in_1000(500) }),
            _ => None,
        };
        happenings.extend(what.map(|what| (chance.between(0, span), what)));
        if matches!(what, None | Some(Happening::Moves { .. })) && chance.in_1000(500) {
            let what = Happening::False { sender, long_ago: chance.in_1000(500) };
            happenings.push((chance.between(0, 2 * span), what));
        }
    }
    happenings
}

impl Change {
    /// Its entry of a payload.
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
