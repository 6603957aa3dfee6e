//! Matches the sender or recipient of a message with a contact.
//!
//! A contact holds a phone number and a name. A wrong match would send the reply for one user to another user's phone.
//! A contact therefore belongs to a message only when both name the same user.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::meta::lenient::{self, Object};
use crate::meta::sender::{PhoneNumber, Sender, UserId};

/// Maximum number of contacts read. Meta sends one for each message, and at most 1,000 messages in a request.
const MAX_CONTACTS: usize = 4000;

/// The identity in a contact, or of a message's author or recipient.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Person {
    /// The phone number.
    pub number: Option<PhoneNumber>,
    /// The business-scoped user id, which is unique to one person.
    pub user_id: Option<UserId>,
    /// Whether an identifier is present, even if it is invalid.
    is_named: bool,
}

impl Person {
    /// Reads the author of an entry of `value.messages`.
    #[must_use]
    pub fn author(message: &Object<'_>) -> Self {
        Self::new(message, "from", ["from_user_id", "from_parent_user_id"])
    }

    /// Reads the recipient of an entry of `value.message_echoes`.
    #[must_use]
    pub fn recipient(message: &Object<'_>) -> Self {
        Self::new(message, "to", ["to_user_id", "to_parent_user_id"])
    }

    /// Reads the person of an entry of `value.contacts`.
    #[must_use]
    pub fn contact(contact: &Object<'_>) -> Self {
        Self::new(contact, "wa_id", ["user_id", "parent_user_id"])
    }

    /// The user id of a parent business counts in the absence of another, and a user id may be in the number's field.
    fn new(fields: &Object<'_>, number: &str, user_ids: [&str; 2]) -> Self {
        let [number, user_id, parent] = [number, user_ids[0], user_ids[1]].map(|key| fields.filled_text(key));
        Self {
            number: number.as_deref().and_then(PhoneNumber::parse),
            user_id: (user_id.as_deref().and_then(UserId::parse))
                .or_else(|| number.as_deref().and_then(UserId::recognize))
                .or_else(|| parent.as_deref().and_then(UserId::parse)),
            is_named: [number, user_id, parent].iter().any(Option::is_some),
        }
    }
}

/// `value.contacts`, indexed by user id and number for lookups in constant time: a request can hold a thousand contacts
/// and a thousand messages.
#[derive(Debug, Default)]
pub struct Contacts<'a> {
    people: Vec<(Person, &'a RawValue)>,
    by_user_id: HashMap<UserId, usize>,
    by_number: HashMap<String, usize>,
    /// Only contacts without a user id, which could contradict the message's.
    by_number_alone: HashMap<String, usize>,
}

impl<'a> Contacts<'a> {
    /// Reads contacts.
    #[must_use]
    pub fn read(raw: Option<&'a RawValue>) -> Self {
        let mut contacts = Self::default();
        for (position, raw) in lenient::list(raw).into_iter().take(MAX_CONTACTS).enumerate() {
            let person = Person::contact(&Object::of(Some(raw)));
            if let Some(number) = &person.number {
                let number = number.comparable();
                if person.user_id.is_none() {
                    contacts.by_number_alone.entry(number.clone().into_owned()).or_insert(position);
                }
                contacts.by_number.entry(number.into_owned()).or_insert(position);
            }
            if let Some(user_id) = &person.user_id {
                contacts.by_user_id.entry(user_id.clone()).or_insert(position);
            }
            contacts.people.push((person, raw));
        }
        contacts
    }

    /// Returns the sender of `message`, according to the message and the author's contact, and that contact.
    ///
    /// The number in the message is the recipient of the reply; the contact's number counts only in its absence.
    #[must_use]
    pub fn author(&self, message: &Object<'_>) -> (Option<Sender>, Option<&'a RawValue>) {
        self.complete(Person::author(message))
    }

    /// Returns the recipient of `message` of the business, according to the message and the recipient's contact, and
    /// that contact.
    #[must_use]
    pub fn recipient(&self, message: &Object<'_>) -> (Option<Sender>, Option<&'a RawValue>) {
        self.complete(Person::recipient(message))
    }

    /// Completes a person with the identifiers in their contact.
    fn complete(&self, person: Person) -> (Option<Sender>, Option<&'a RawValue>) {
        match self.of(&person) {
            Some((contact, raw)) => {
                let number = person.number.or_else(|| contact.number.clone());
                let user_id = person.user_id.or_else(|| contact.user_id.clone());
                (Sender::new(number, user_id), Some(raw))
            }
            None => (Sender::new(person.number, person.user_id), None),
        }
    }

    /// Returns the contact with the same user id, with any number; otherwise the contact with the same number, unless
    /// both have user ids. A message without an identifier belongs to the only contact, if there is exactly one.
    fn of(&self, author: &Person) -> Option<&(Person, &'a RawValue)> {
        let number = author.number.as_ref().map(PhoneNumber::comparable);
        let position = match (&author.user_id, &number) {
            (Some(user_id), None) => self.by_user_id.get(user_id)?,
            (Some(user_id), Some(number)) => {
                self.by_user_id.get(user_id).or_else(|| self.by_number_alone.get(number.as_ref()))?
            }
            (None, Some(number)) => self.by_number.get(number.as_ref())?,
            (None, None) if self.people.len() == 1 && !author.is_named => &0,
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
        let (_, found) = contacts.author(&Object::of(serde_json::from_str(&message).ok()));
        found.and_then(|found| contacts.people.iter().position(|(_, raw)| std::ptr::eq(*raw, found)))
    }

    #[test]
    fn a_contact_is_matched_by_user_id_or_by_number() {
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
    fn the_only_contact_is_not_matched_with_another_user() {
        let contacts = json!([{"wa_id": "16505551234", "user_id": "US.1"}]);
        for (message, is_theirs) in [
            (json!({"from_user_id": "US.2"}), false),
            (json!({"from": "16505555678"}), false),
            // The same number, but another user id: the number may belong to another user now.
            (json!({"from": "16505551234", "from_user_id": "US.2"}), false),
            (json!({"from": "hello"}), false),
            (json!({"from": "16505551234"}), true),
            (json!({"from": "16505555678", "from_user_id": "US.1"}), true),
            (json!({"from": " ", "from_user_id": null}), true),
            (json!("not an object"), true),
        ] {
            assert_eq!(contact_of(&message, &contacts), is_theirs.then_some(0), "{message}");
        }
        // A match can neither be confirmed nor excluded.
        assert_eq!(contact_of(&json!({"from_user_id": "US.2"}), &json!([{"wa_id": "1"}])), None);
    }

    #[test]
    fn a_contact_is_found_by_the_other_spelling_of_a_number() {
        for (from, wa_id) in [
            ("5511987654321", "551187654321"),
            ("551187654321", "5511987654321"),
            ("5215512345678", "525512345678"),
            ("+525512345678", "5215512345678"),
            ("5491155501234", "541155501234"),
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
    fn only_the_contact_of_the_author_completes_a_message() {
        let contacts = json!([{"wa_id": "16505551234", "user_id": "US.1"}]).to_string();
        let contacts = Contacts::read(serde_json::from_str(&contacts).ok());
        let sender = |message: Value| {
            let message = message.to_string();
            contacts.author(&Object::of(serde_json::from_str(&message).ok())).0
        };
        let known =
            |number: &str, user_id: &str| Sender::new(PhoneNumber::parse(number), UserId::parse(user_id));
        for (message, expected) in [
            (json!({"from_user_id": "US.1"}), known("16505551234", "US.1")),
            (json!({"from": "US.1", "from_user_id": "US.1"}), known("16505551234", "US.1")),
            (json!({"from": "16505551234"}), known("16505551234", "US.1")),
            (json!({"from": "16505550000", "from_user_id": "US.1"}), known("16505550000", "US.1")),
            (json!({"from": " "}), known("16505551234", "US.1")),
            (json!({"from_user_id": "US.2"}), known("", "US.2")),
            (json!({"from": "US.2"}), known("", "US.2")),
            (json!({"from_parent_user_id": "US.ENT.2"}), known("", "US.ENT.2")),
            (json!({"from": "16505555678"}), known("16505555678", "")),
            (json!({"from": "somebody"}), None),
            (json!({"from_user_id": "93737957790"}), known("", "93737957790")),
            (json!({"from_user_id": "no id", "from": "US.2"}), known("", "US.2")),
            // From a public bug report: an older form, and an empty number.
            (json!({"from": "", "from_user_id": "user.9373795779eb"}), known("", "user.9373795779eb")),
            (json!({"from": "user.9373795779eb"}), known("", "user.9373795779eb")),
        ] {
            assert_eq!(sender(message.clone()), expected, "{message}");
        }
    }

    #[test]
    fn the_recipient_of_an_echo_is_completed_from_their_contact() {
        let contacts = json!([{"wa_id": "16505551234", "user_id": "US.1"}]).to_string();
        let contacts = Contacts::read(serde_json::from_str(&contacts).ok());
        for (message, number, user_id) in [
            (json!({"from": "15550783881", "to": "16505551234"}), "16505551234", "US.1"),
            (json!({"from": "15550783881", "to_user_id": "US.1"}), "16505551234", "US.1"),
            (json!({"from": "16505551234", "to": "US.2"}), "", "US.2"),
            (json!({"to_parent_user_id": "US.ENT.2"}), "", "US.ENT.2"),
        ] {
            let message = message.to_string();
            let (recipient, _) = contacts.recipient(&Object::of(serde_json::from_str(&message).ok()));
            assert_eq!(
                recipient,
                Sender::new(PhoneNumber::parse(number), UserId::parse(user_id)),
                "{message}"
            );
        }
    }

    #[test]
    fn fields_of_the_other_kind_do_not_prevent_a_match() {
        let contacts = json!([{"wa_id": "1", "from": "7", "user_id": "US.1", "from_user_id": "US.7"}, {}]);
        let message = json!({"from": "1", "wa_id": "8", "from_user_id": "US.1", "user_id": "US.8"});
        assert_eq!(contact_of(&message, &contacts), Some(0));
    }
}
