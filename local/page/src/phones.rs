//! The simulated phones.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::meta::sender::{PhoneNumber, Sender, UserId};
use uuid::Uuid;

/// The maximum length of a name, in characters.
const MAX_NAME: usize = 40;

/// The maximum number of phones. A further sender from outside the page has none.
const MAX_PHONES: usize = 1000;

/// A phone and its owner.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Phone {
    /// Its id in URLs.
    pub(crate) id: String,
    /// The owner's name.
    pub(crate) name: String,
    /// The number or the username, for display.
    pub(crate) address: String,
    /// The username of a sender without a number.
    pub(crate) username: Option<String>,
    /// The linked user, if there is one.
    pub(crate) user: Option<User>,
    /// More about the owner, for display.
    note: Option<&'static str>,
    #[serde(skip)]
    pub(crate) sender: Sender,
}

/// A user of the page. Their links are shown and can be changed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum User {
    A,
    B,
}

/// The identities that are linked with a user.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) user: User,
    pub(crate) number: Option<PhoneNumber>,
    pub(crate) user_id: Option<UserId>,
}

/// A phone to add.
#[derive(Debug, Deserialize)]
pub(crate) struct NewPhone {
    name: String,
    number: Option<String>,
    username: Option<String>,
}

/// All phones, in the order of their creation.
#[derive(Debug)]
pub(crate) struct Phones(Vec<Phone>);

impl Phones {
    /// The four phones that exist at the start.
    pub(crate) fn new() -> Self {
        let phone = |id: &str, name: &str, number: &str, user: Option<User>| {
            let number = PhoneNumber::parse(number)?;
            Some(Phone { user, ..Phone::with_number(id, name, number) })
        };
        let phones = [
            phone("a", "User A", local_supabase::PHONE_A, Some(User::A)),
            phone("b", "User B", local_supabase::PHONE_B, Some(User::B)),
            phone("unlinked", "Alex", "+447700900123", None),
            UserId::parse("GB.20261125004455667788")
                .map(|id| Phone::with_username("username", "Robin", "robin.example", id)),
        ];
        Self(phones.into_iter().flatten().collect())
    }

    pub(crate) fn all(&self) -> &[Phone] {
        &self.0
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Phone> {
        self.0.iter().find(|phone| phone.id == id)
    }

    /// The phone of a sender.
    pub(crate) fn of(&self, sender: &Sender) -> Option<&Phone> {
        self.0.iter().find(|phone| phone.is_of(sender))
    }

    /// The phone at a recipient's address: a number in any format, or a user id.
    pub(crate) fn at(&self, address: &str) -> Option<&Phone> {
        let sender = Sender::parse(address)?;
        self.of(&sender)
    }

    /// Adds a phone.
    ///
    /// # Errors
    /// The reason why the phone is invalid or a duplicate.
    pub(crate) fn add(&mut self, new: NewPhone) -> Result<Phone, String> {
        let name = new.name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME {
            return Err(format!("the name must have 1 to {MAX_NAME} characters"));
        }
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let id = format!("phone-{}", self.0.len() + 1);
        let phone = match (filled(new.number), filled(new.username)) {
            (Some(_), Some(_)) => return Err("give a number or a username, not both".to_owned()),
            (None, None) => return Err("give a number or a username".to_owned()),
            (Some(number), None) => {
                let number = number.replace([' ', '-', '(', ')', '.'], "");
                let number = PhoneNumber::parse(&number)
                    .filter(|number| {
                        (7..=15).contains(&number.digits().len()) && !number.digits().starts_with('0')
                    })
                    .ok_or("the number must have 7 to 15 digits and begin with the country code: +44 7700 900123")?;
                Phone::with_number(&id, name, number)
            }
            (None, Some(username)) => {
                let username = username.trim().trim_start_matches('@');
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._".contains(&byte);
                if !(3..=35).contains(&username.len()) || !username.bytes().all(is_plain) {
                    return Err(
                        "the username must have 3 to 35 letters, digits, dots or underscores".to_owned()
                    );
                }
                if self.0.iter().any(|phone| phone.username.as_deref() == Some(username)) {
                    return Err("a phone with this username exists".to_owned());
                }
                let user_id = format!("GB.{}", Uuid::new_v4().as_u128());
                let user_id = UserId::parse(&user_id).ok_or("the username is invalid")?;
                Phone::with_username(&id, name, username, user_id)
            }
        };
        if self.of(&phone.sender).is_some() {
            return Err("a phone with this number exists".to_owned());
        }
        self.0.push(phone.clone());
        Ok(phone)
    }

    /// The phone of a sender, and whether it is new. `None` when it does not exist and the limit is reached.
    pub(crate) fn find_or_add(&mut self, sender: &Sender, name: Option<&str>) -> Option<(Phone, bool)> {
        if let Some(phone) = self.of(sender) {
            return Some((phone.clone(), false));
        }
        if self.0.len() >= MAX_PHONES {
            return None;
        }
        let id = format!("phone-{}", self.0.len() + 1);
        let name = name.unwrap_or("Unknown sender");
        let mut phone = match sender {
            Sender::Phone(number) | Sender::Both(number, _) => Phone::with_number(&id, name, number.clone()),
            Sender::UserId(user_id) => Phone {
                address: user_id.as_str().to_owned(),
                username: None,
                ..Phone::with_username(&id, name, "", user_id.clone())
            },
        };
        phone.note = Some("posted from outside this page");
        phone.sender = sender.clone();
        self.0.push(phone.clone());
        Some((phone, true))
    }

    /// Sets the user of each phone. The ids of the phones that have another user than before.
    pub(crate) fn link(&mut self, links: &[Linked]) -> Vec<String> {
        let mut changed = Vec::new();
        for phone in &mut self.0 {
            let user = links.iter().find(|linked| phone.is_linked(linked)).map(|linked| linked.user);
            if phone.user != user {
                phone.user = user;
                changed.push(phone.id.clone());
            }
        }
        changed
    }
}

impl Phone {
    fn with_number(id: &str, name: &str, number: PhoneNumber) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            address: spaced(number.digits()),
            username: None,
            user: None,
            note: None,
            sender: Sender::Phone(number),
        }
    }

    fn with_username(id: &str, name: &str, username: &str, user_id: UserId) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            address: format!("@{username}"),
            username: Some(username.to_owned()),
            user: None,
            note: Some("username without a number"),
            sender: Sender::UserId(user_id),
        }
    }

    fn is_of(&self, sender: &Sender) -> bool {
        self.has(sender.number(), sender.user_id())
    }

    fn is_linked(&self, linked: &Linked) -> bool {
        self.has(linked.number.as_ref(), linked.user_id.as_ref())
    }

    /// Whether one of these identities is the phone's.
    fn has(&self, number: Option<&PhoneNumber>, user_id: Option<&UserId>) -> bool {
        let same_number = match (self.sender.number(), number) {
            (Some(own), Some(other)) => own.comparable() == other.comparable(),
            _ => false,
        };
        let same_user_id = match (self.sender.user_id(), user_id) {
            (Some(own), Some(other)) => own == other,
            _ => false,
        };
        same_number || same_user_id
    }

    /// The owner as an entry of a webhook's `contacts`.
    pub(crate) fn contact(&self) -> Value {
        let mut contact = json!({"profile": {"name": self.name}});
        if let Some(username) = &self.username {
            contact["profile"]["username"] = json!(username);
        }
        if let Some(number) = self.sender.number() {
            contact["wa_id"] = json!(number.digits());
        }
        if let Some(user_id) = self.sender.user_id() {
            contact["user_id"] = json!(user_id.as_str());
        }
        contact
    }
}

/// A number with spaces, for display: `+1 650 555 1234`.
fn spaced(digits: &str) -> String {
    let (country, rest) = digits.split_at(if digits.starts_with('1') { 1 } else { 2.min(digits.len()) });
    let mut spaced = format!("+{country}");
    let mut rest = rest;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(if rest.len() <= 4 { rest.len() } else { 3 });
        spaced.push(' ');
        spaced.push_str(part);
        rest = after;
    }
    spaced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str, number: Option<&str>, username: Option<&str>) -> NewPhone {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        NewPhone { name: name.to_owned(), number: owned(number), username: owned(username) }
    }

    #[test]
    fn a_phone_is_found_by_number_in_any_format_and_by_user_id() {
        let mut phones = Phones::new();
        assert_eq!(phones.all().len(), 4);
        assert_eq!(phones.at("+16505551234").map(|phone| phone.address.as_str()), Some("+1 650 555 1234"));
        assert_eq!(phones.at("16505555678").map(|phone| phone.id.as_str()), Some("b"));
        assert_eq!(phones.at("GB.20261125004455667788").map(|phone| phone.id.as_str()), Some("username"));
        let added = phones.add(new("Grace", Some("+49 170 1234567"), None)).expect("added");
        assert_eq!(phones.at("491701234567").map(|phone| &phone.id), Some(&added.id));
    }

    #[test]
    fn a_phone_is_linked_by_its_number_or_its_user_id() {
        let mut phones = Phones::new();
        let number = |number: &str| PhoneNumber::parse(number);
        let of_a = |number, user_id| [Linked { user: User::A, number, user_id }];
        let user = |phones: &Phones, id: &str| phones.get(id).and_then(|phone| phone.user);
        assert_eq!(phones.link(&of_a(number("+447700900123"), None)), ["a", "b", "unlinked"]);
        assert_eq!((user(&phones, "a"), user(&phones, "unlinked")), (None, Some(User::A)));
        let user_id = UserId::parse("GB.20261125004455667788");
        assert_eq!(phones.link(&of_a(None, user_id)), ["unlinked", "username"]);
        assert_eq!(phones.link(&of_a(None, None)), ["username"]);
        assert!(phones.link(&[]).is_empty());
    }

    #[test]
    fn an_invalid_or_duplicate_phone_is_refused_with_a_reason() {
        let mut phones = Phones::new();
        let mut refusal =
            |name: &str, number, username| phones.add(new(name, number, username)).expect_err("refused");
        assert!(refusal(" ", Some("+491701234567"), None).contains("the name must have"));
        assert!(refusal("X", None, None).contains("number or a username"));
        assert!(refusal("X", Some("call me"), None).contains("7 to 15 digits"));
        assert!(refusal("X", Some("+1 (650) 555-1234"), None).contains("exists"));
        assert!(refusal("X", None, Some("robin.example")).contains("exists"));
        assert!(refusal("X", None, Some("no spaces")).contains("the username must have"));
    }
}
