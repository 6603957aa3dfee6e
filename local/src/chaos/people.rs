//! Who writes: by number, by user id or by both; and which of these the database has linked.

use std::collections::BTreeMap;

use reply::incoming::IdentityChange;
use reply::users::Linked;
use serde_json::{Value, json};
use shared::sender::{PhoneNumber, Sender, UserId};
use uuid::Uuid;

use super::faults::Chance;

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
}

/// A row of the table `user_preferences`.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The digits of the phone number.
    pub number: Option<String>,
    /// The business-scoped user id.
    pub user_id: Option<String>,
}

/// The table `user_preferences`, by account.
#[derive(Debug, Default)]
pub struct Links(pub BTreeMap<Uuid, Link>);

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
        let both = Link { number: number.clone(), user_id: user_id.clone() };
        let link = match chance.between(0, 2) {
            0 if number.is_some() => Link { user_id: None, ..both },
            1 if user_id.is_some() => Link { number: None, ..both },
            _ => both,
        };
        (Self { number, user_id, hides_number: chance.in_1000(500), account }, link)
    }

    /// Whether an answer to this number or user id reaches them.
    #[must_use]
    pub fn is(&self, id: &str) -> bool {
        [&self.number, &self.user_id].into_iter().flatten().any(|known| known == id)
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

impl Links {
    fn knows_user_id(&self, account: Uuid) -> bool {
        self.0.get(&account).is_some_and(|link| link.user_id.is_some())
    }

    /// As `reply` looks a sender up: by the user id, else by the number.
    #[must_use]
    pub fn find(&self, sender: &Sender) -> Option<Linked> {
        let (number, user_id) = parts(sender);
        let by_user_id = |link: &Link| user_id.is_some() && link.user_id.as_deref() == user_id;
        let by_number = |link: &Link| number.is_some() && link.number.as_deref() == number;
        let found = self.0.iter().find(|(_, link)| by_user_id(link));
        let (account, link) = found.or_else(|| self.0.iter().find(|(_, link)| by_number(link)))?;
        let learns_number = number.is_some() && link.number.is_none();
        let learns_user_id = user_id.is_some() && link.user_id.is_none();
        Some(Linked { user_id: *account, learns: learns_number || learns_user_id })
    }

    /// Adds what was not linked before.
    pub fn learn(&mut self, account: Uuid, sender: &Sender) {
        let (number, user_id) = parts(sender);
        let Some(link) = self.0.get_mut(&account) else { return };
        let learn = |known: &mut Option<String>, now: Option<&str>| {
            *known = known.take().or_else(|| now.map(str::to_owned));
        };
        learn(&mut link.number, number);
        learn(&mut link.user_id, user_id);
    }

    /// Gives somebody the number or user id that they have now.
    pub fn follow(&mut self, change: &IdentityChange) -> Option<Uuid> {
        let account = self.find(&change.previous)?.user_id;
        let (number, user_id) = parts(&change.current);
        let link = self.0.get_mut(&account)?;
        let follow = |known: &mut Option<String>, now: Option<&str>| {
            *known = now.map(str::to_owned).or_else(|| known.take());
        };
        follow(&mut link.number, number);
        follow(&mut link.user_id, user_id);
        Some(account)
    }
}

fn parts(sender: &Sender) -> (Option<&str>, Option<&str>) {
    (sender.number().map(PhoneNumber::digits), sender.user_id().map(UserId::as_str))
}
