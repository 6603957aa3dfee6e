//! Who writes: by number, by user id or by both; and which of these the database has linked at first.

use reply::users::Link;
use serde_json::{Value, json};
use uuid::Uuid;

use super::faults::Chance;
use super::links::{self, Links};
use super::world::EPOCH_SECONDS;

/// A person.
#[derive(Debug)]
pub struct Person {
    /// The digits of their phone number, unless they never show it.
    pub number: Option<String>,
    /// Their business-scoped user id, unless Meta does not say it yet.
    pub user_id: Option<String>,
    /// Whether they hide their number now and then, once the user id is enough to find them.
    hides_number: bool,
    /// The account that linked them.
    pub account: Option<Uuid>,
    /// The numbers and user ids that they had before.
    pub before: Vec<String>,
    /// How often they have got others.
    pub version: usize,
    /// Whether an operator has taken out what was linked of them.
    pub unlinked: bool,
}

impl Person {
    /// Draws the `index`th person, and what the database has linked of them.
    pub fn draw(chance: &mut Chance, index: u64) -> (Self, Link) {
        let number = Some(format!("1650555{:04}", 1234 + index));
        let user_id = Some(format!("US.1349120865530274191{index}"));
        let (number, user_id) = match chance.between(0, 9) {
            0..=2 => (number, None),
            3 => (None, user_id),
            _ => (number, user_id),
        };
        let account = Uuid::from_u128(0x1111_1111_1111_4111_8111_0000_0000_0000 + u128::from(index));
        let account = Some(account).filter(|_| !chance.in_1000(150));
        let linked = match chance.between(0, 2) {
            0 if number.is_some() => (number.as_deref(), None),
            1 if user_id.is_some() => (None, user_id.as_deref()),
            _ => (number.as_deref(), user_id.as_deref()),
        };
        let start = chrono::DateTime::from_timestamp(EPOCH_SECONDS.cast_signed(), 0).unwrap_or_default();
        let link = links::inserted(account.unwrap_or_default(), linked.0, linked.1, start);
        let hides_number = chance.in_1000(500);
        (
            Self { number, user_id, hides_number, account, before: Vec::new(), version: 0, unlinked: false },
            link,
        )
    }

    /// Whether an answer to this number or user id reaches them, or did.
    #[must_use]
    pub fn is(&self, id: &str) -> bool {
        let now = [&self.number, &self.user_id].into_iter().flatten();
        now.chain(&self.before).any(|known| known == id)
    }

    /// They get another number, or another user id, or both.
    pub fn becomes(&mut self, number: Option<String>, user_id: Option<String>) {
        self.before.extend(std::mem::replace(&mut self.number, number));
        self.before.extend(std::mem::replace(&mut self.user_id, user_id));
        self.version += 1;
    }

    /// Whether every message says both their number and their user id.
    #[must_use]
    pub fn always_says_both(&self) -> bool {
        self.number.is_some() && self.user_id.is_some() && !self.hides_number
    }

    /// How a message of theirs names them: in itself, and in the contact beside it.
    pub fn name(&self, chance: &mut Chance, links: &Links, message: &mut Value) -> Option<Value> {
        let found_by_user_id = self.account.is_none_or(|account| links.knows_user_id(account));
        let hidden = self.hides_number && found_by_user_id && chance.in_1000(500);
        let number = self.number.as_ref().filter(|_| !hidden || self.user_id.is_none());
        match (number, &self.user_id) {
            (Some(number), Some(user_id)) => {
                let contact = json!({"profile": {"name": "Somebody"}, "wa_id": number, "user_id": user_id});
                match chance.between(0, 2) {
                    0 => message["from"] = json!(number),
                    1 => message["from_user_id"] = json!(user_id),
                    _ => {
                        message["from"] = json!(number);
                        message["from_user_id"] = json!(user_id);
                        return None;
                    }
                }
                Some(contact)
            }
            (Some(number), None) => {
                message["from"] = json!(number);
                chance.in_1000(500).then(|| json!({"wa_id": number}))
            }
            (None, Some(user_id)) => {
                message[chance.pick("from", &["from_user_id"])] = json!(user_id);
                chance.in_1000(500).then(|| json!({"user_id": user_id}))
            }
            (None, None) => None,
        }
    }
}
