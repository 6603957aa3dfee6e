//! The users: identified by number, by user id or by both, and linked by one or both.

use reply::users::Link;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::model::clock::EPOCH_SECONDS;
use crate::model::faults::Chance;
use crate::model::links::{self, Links};

/// The account of the user `index`.
#[must_use]
pub fn account_of(index: u64) -> Uuid {
    Uuid::from_u128(0x1111_1111_1111_4111_8111_0000_0000_0000 + u128::from(index))
}

/// A user.
#[derive(Debug)]
pub struct Person {
    /// Digits of the phone number, unless always hidden.
    pub number: Option<String>,
    /// Business-scoped user id, unless Meta does not send it yet.
    pub user_id: Option<String>,
    /// Whether the user sometimes hides the number, once the user id is linked.
    pub hides_number: bool,
    /// The linked account.
    pub account: Option<Uuid>,
    /// The accounts that the user can sign in to and link, in the runs in which people link.
    pub sessions: Vec<Uuid>,
    /// Whether the user gets a number of another user, and writes only when linked with it.
    pub waits_for_number: bool,
    /// Former numbers and user ids.
    pub before: Vec<String>,
    /// Number of identity changes.
    pub version: usize,
    /// Whether the user is not linked, or an operator has removed an identity from the link.
    pub unlinked: bool,
}

impl Person {
    /// Draws the user `index`, and the link in the database.
    pub fn draw(chance: &mut Chance, index: u64) -> (Self, Link) {
        let number = Some(format!("1650555{:04}", 1234 + index));
        let user_id = Some(format!("US.1349120865530274191{index}"));
        let (number, user_id) = match chance.between(0, 9) {
            0..=2 => (number, None),
            3 => (None, user_id),
            _ => (number, user_id),
        };
        let account = Some(account_of(index)).filter(|_| !chance.in_1000(150));
        let linked = match chance.between(0, 2) {
            0 if number.is_some() => (number.as_deref(), None),
            1 if user_id.is_some() => (None, user_id.as_deref()),
            _ => (number.as_deref(), user_id.as_deref()),
        };
        let start = chrono::DateTime::from_timestamp(EPOCH_SECONDS.cast_signed(), 0).unwrap_or_default();
        let link = links::inserted(account.unwrap_or_default(), linked.0, linked.1, start);
        let hides_number = chance.in_1000(500);
        let person = Self {
            number,
            user_id,
            hides_number,
            account,
            sessions: Vec::new(),
            waits_for_number: false,
            before: Vec::new(),
            version: 0,
            unlinked: false,
        };
        (person, link)
    }

    /// Whether the account is the user's.
    #[must_use]
    pub fn owns(&self, account: Uuid) -> bool {
        self.account == Some(account) || self.sessions.contains(&account)
    }

    /// Whether an answer to this number or user id reaches the user, or did.
    #[must_use]
    pub fn is(&self, id: &str) -> bool {
        let now = [&self.number, &self.user_id].into_iter().flatten();
        now.chain(&self.before).any(|known| known == id)
    }

    /// Changes the number, the user id, or both.
    pub fn change_identity(&mut self, number: Option<String>, user_id: Option<String>) {
        self.before.extend(std::mem::replace(&mut self.number, number));
        self.before.extend(std::mem::replace(&mut self.user_id, user_id));
        self.version += 1;
    }

    /// Whether every message has both number and user id.
    #[must_use]
    pub fn always_says_both(&self) -> bool {
        self.number.is_some() && self.user_id.is_some() && !self.hides_number
    }

    /// Adds the sender to a message of the user; returns the contact to send with it.
    pub fn name(&self, chance: &mut Chance, links: &Links, message: &mut Value) -> Option<Value> {
        let found_by_user_id =
            self.account.is_none_or(|account| links.knows_user_id(account) || !links.is_linked(account));
        let hidden = self.hides_number && found_by_user_id && chance.in_1000(500);
        let number = self.number.as_ref().filter(|_| !hidden || self.user_id.is_none());
        match (number, &self.user_id) {
            (Some(number), Some(user_id)) => {
                let contact = json!({"profile": {"name": "User"}, "wa_id": number, "user_id": user_id});
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
