//! Whom a message is from, and which contact is theirs.
//!
//! A contact holds a phone number and a name. Given to somebody else's message, it would send one person's
//! answer to another's phone. So a contact belongs to a message only when the two name the same person.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::lenient;

/// What a contact or a message says about who it is about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Person<'a> {
    /// The business-scoped user id, which names one person and no other.
    pub user_id: Option<Cow<'a, str>>,
    /// The phone number: digits, without those that may be missing. To compare, not to send to.
    pub number: Option<Cow<'a, str>>,
}

impl<'a> Person<'a> {
    /// The author of an entry of `value.messages`.
    #[must_use]
    pub fn author(message: &'a RawValue) -> Self {
        #[derive(Default, Deserialize)]
        struct Author<'a> {
            #[serde(borrow, default)]
            from: Option<&'a RawValue>,
            #[serde(borrow, default)]
            from_user_id: Option<&'a RawValue>,
        }
        let Author { from, from_user_id } = lenient::read(Some(message)).unwrap_or_default();
        Self::new(from, from_user_id)
    }

    /// The person of an entry of `value.contacts`.
    #[must_use]
    pub fn contact(contact: &'a RawValue) -> Self {
        #[derive(Default, Deserialize)]
        struct Contact<'a> {
            #[serde(borrow, default)]
            wa_id: Option<&'a RawValue>,
            #[serde(borrow, default)]
            user_id: Option<&'a RawValue>,
        }
        let Contact { wa_id, user_id } = lenient::read(Some(contact)).unwrap_or_default();
        Self::new(wa_id, user_id)
    }

    fn new(number: Option<&'a RawValue>, user_id: Option<&'a RawValue>) -> Self {
        let user_id = lenient::filled_text(user_id);
        match lenient::filled_text(number) {
            Some(number) if is_number(&number) => Self { user_id, number: Some(comparable(number)) },
            // A user id may stand in the number's place.
            id => Self { user_id: user_id.or(id), number: None },
        }
    }

    /// Itself, and what `other` knows besides.
    fn or(self, other: &Self) -> Self {
        Self {
            user_id: self.user_id.or_else(|| other.user_id.clone()),
            number: self.number.or_else(|| other.number.clone()),
        }
    }
}

fn is_number(id: &str) -> bool {
    let digits = id.strip_prefix('+').unwrap_or(id);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A phone number without `+`, and without the digit with which Brazilian (`55 DD 9…`) and Mexican
/// (`52 1 …`) mobile numbers may or may not be written: the same person's `from` and `wa_id` can differ by it.
fn comparable(number: Cow<'_, str>) -> Cow<'_, str> {
    let digits = number.strip_prefix('+').unwrap_or(&number);
    match digits.as_bytes() {
        [b'5', b'5', _, _, b'9', ..] if digits.len() == 13 => {
            format!("{}{}", &digits[..4], &digits[5..]).into()
        }
        [b'5', b'2', b'1', ..] if digits.len() == 13 => format!("52{}", &digits[3..]).into(),
        _ if digits.len() < number.len() => digits.to_owned().into(),
        _ => number,
    }
}

/// `value.contacts`, found by what names a person, in constant time: a request can hold a thousand contacts
/// and a thousand messages.
#[derive(Debug, Default)]
pub(crate) struct Contacts<'a> {
    people: Vec<(Person<'a>, &'a RawValue)>,
    by_user_id: HashMap<Cow<'a, str>, usize>,
    by_number: HashMap<Cow<'a, str>, usize>,
    /// Of those that have no user id, which could contradict the message's.
    by_number_alone: HashMap<Cow<'a, str>, usize>,
}

impl<'a> Contacts<'a> {
    pub(crate) fn read(raw: Option<&'a RawValue>) -> Self {
        let mut contacts = Self::default();
        for (position, raw) in lenient::array(raw).into_iter().enumerate() {
            let person = Person::contact(raw);
            if let Some(number) = &person.number {
                contacts.by_number.entry(number.clone()).or_insert(position);
                if person.user_id.is_none() {
                    contacts.by_number_alone.entry(number.clone()).or_insert(position);
                }
            }
            if let Some(user_id) = &person.user_id {
                contacts.by_user_id.entry(user_id.clone()).or_insert(position);
            }
            contacts.people.push((person, raw));
        }
        contacts
    }

    /// Who wrote `message`, as far as it and its author's contact say, and that contact.
    pub(crate) fn author(&self, message: &'a RawValue) -> (Person<'a>, Option<&'a RawValue>) {
        let author = Person::author(message);
        match self.of(&author) {
            Some((contact, raw)) => (author.or(contact), Some(raw)),
            None => (author, None),
        }
    }

    /// The contact of the same user id, whatever their numbers; else the one of the same number, unless both
    /// have user ids. A message that names nobody has the contact that is the only one.
    fn of(&self, author: &Person<'_>) -> Option<&(Person<'a>, &'a RawValue)> {
        let position = match (&author.user_id, &author.number) {
            (Some(user_id), None) => self.by_user_id.get(user_id.as_ref())?,
            (Some(user_id), Some(number)) => {
                self.by_user_id.get(user_id.as_ref()).or_else(|| self.by_number_alone.get(number.as_ref()))?
            }
            (None, Some(number)) => self.by_number.get(number.as_ref())?,
            (None, None) if self.people.len() == 1 => &0,
            (None, None) => return None,
        };
        self.people.get(*position)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The position of the message's contact among the contacts.
    fn contact_of(message: &Value, contacts: &Value) -> Option<usize> {
        let (message, contacts) = (message.to_string(), contacts.to_string());
        let contacts = Contacts::read(serde_json::from_str(&contacts).expect("JSON"));
        let (_, found) = contacts.author(serde_json::from_str(&message).expect("JSON"));
        found.and_then(|found| contacts.people.iter().position(|(_, raw)| std::ptr::eq(*raw, found)))
    }

    #[test]
    fn a_contact_is_its_author_s_by_user_id_or_by_number() {
        let contacts = json!([
            {"wa_id": "1", "user_id": "US.1"}, {"wa_id": "2"}, {"user_id": "US.3"}, {"wa_id": "US.4"}, {"wa_id": 5}
        ]);
        for (message, position) in [
            (json!({"from": "1", "from_user_id": "US.1"}), Some(0)),
            (json!({"from": "1"}), Some(0)),
            (json!({"from_user_id": "US.1"}), Some(0)),
            (json!({"from": "+2", "from_user_id": "US.2"}), Some(1)),
            (json!({"from": "3", "from_user_id": "US.3"}), Some(2)),
            (json!({"from": "US.3"}), Some(2)),
            (json!({"from_user_id": "US.4"}), Some(3)),
            (json!({"from": "5"}), Some(4)),
            (json!({"from": "3"}), None),
            (json!({"from_user_id": "US.2"}), None),
            (json!({}), None),
        ] {
            assert_eq!(contact_of(&message, &contacts), position, "{message}");
        }
    }

    #[test]
    fn the_only_contact_is_not_everybody_s() {
        let contacts = json!([{"wa_id": "16505551234", "user_id": "US.1"}]);
        for (message, is_theirs) in [
            (json!({"from_user_id": "US.2"}), false),
            (json!({"from": "16505555678"}), false),
            // The same number, but another person: perhaps the number has changed hands.
            (json!({"from": "16505551234", "from_user_id": "US.2"}), false),
            (json!({"from": "hello"}), false),
            (json!({"from": "16505551234"}), true),
            (json!({"from": "16505555678", "from_user_id": "US.1"}), true),
            (json!({"from": " ", "from_user_id": null}), true),
            (json!("no object"), true),
        ] {
            assert_eq!(contact_of(&message, &contacts), is_theirs.then_some(0), "{message}");
        }
        // Neither says that it is, nor that it is not.
        assert_eq!(contact_of(&json!({"from_user_id": "US.2"}), &json!([{"wa_id": "1"}])), None);
    }

    #[test]
    fn brazilian_and_mexican_numbers_are_the_same_with_and_without_their_extra_digit() {
        for (from, wa_id) in [
            ("5511987654321", "551187654321"),
            ("551187654321", "5511987654321"),
            ("5215512345678", "525512345678"),
            ("+525512345678", "5215512345678"),
        ] {
            assert_eq!(contact_of(&json!({"from": from}), &json!([{"wa_id": wa_id}])), Some(0), "{from}");
        }
        for (from, wa_id) in [
            ("5511987654321", "5511987654322"),
            ("551187654321", "551287654321"),
            ("15511987654", "1551187654"),
        ] {
            assert_eq!(contact_of(&json!({"from": from}), &json!([{"wa_id": wa_id}])), None, "{from}");
        }
    }

    #[test]
    fn fields_of_the_other_kind_make_nobody_unknown() {
        let contacts = json!([{"wa_id": "1", "from": "7", "user_id": "US.1", "from_user_id": "US.7"}, {}]);
        let message = json!({"from": "1", "wa_id": "8", "from_user_id": "US.1", "user_id": "US.8"});
        assert_eq!(contact_of(&message, &contacts), Some(0));
    }
}
