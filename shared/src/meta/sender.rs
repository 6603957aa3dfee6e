//! The sender of a message: a phone number, a business-scoped user id, or both.
//!
//! Since April 2026 a user can write without a phone number, and every message carries a user id. Source:
//! “Business-scoped user IDs”, WhatsApp Business Platform documentation.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lambda::logging::Masked;
pub use crate::meta::phone::PhoneNumber;

/// Maximum number of characters of a user id: the country, `ENT` and 128, and some more.
const MAX_USER_ID: usize = 200;

/// The identity of a user on WhatsApp, as far as Meta gives it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Serialized", into = "Serialized")]
pub enum Sender {
    /// Only the number is known.
    Phone(PhoneNumber),
    /// Only the user id is known: a user with a username hides the number.
    UserId(UserId),
    /// Both are known.
    Both(PhoneNumber, UserId),
}

/// A business-scoped user id (BSUID). It identifies one user for one business.
///
/// Meta documents the country's two letters, a dot, and letters and digits (`US.13491208655302741918`, of a parent
/// business `US.ENT.…`); `user.` and hexadecimal digits, digits alone, `_` and `-` have been observed too. Only its
/// characters and its length are therefore validated.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct UserId(String);

/// Neither a phone number nor a user id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("neither a phone number nor a business-scoped user id")]
pub struct UnknownSender;

impl Sender {
    /// Combines the known identifiers; returns `None` when there are none.
    #[must_use]
    pub fn new(number: Option<PhoneNumber>, user_id: Option<UserId>) -> Option<Self> {
        match (number, user_id) {
            (Some(number), Some(user_id)) => Some(Self::Both(number, user_id)),
            (Some(number), None) => Some(Self::Phone(number)),
            (None, Some(user_id)) => Some(Self::UserId(user_id)),
            (None, None) => None,
        }
    }

    /// Reads a phone number or a user id, distinguished by their form.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        PhoneNumber::parse(id).map(Self::Phone).or_else(|| UserId::recognize(id).map(Self::UserId))
    }

    /// Returns the number, if it is known.
    #[must_use]
    pub fn number(&self) -> Option<&PhoneNumber> {
        match self {
            Self::Phone(number) | Self::Both(number, _) => Some(number),
            Self::UserId(_) => None,
        }
    }

    /// Returns the user id, if it is known.
    #[must_use]
    pub fn user_id(&self) -> Option<&UserId> {
        match self {
            Self::UserId(user_id) | Self::Both(_, user_id) => Some(user_id),
            Self::Phone(_) => None,
        }
    }
}

impl UserId {
    /// Reads the value of a user id's field: 1 to 200 letters, digits, dots, underscores and hyphens.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_of_id = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        ((1..=MAX_USER_ID).contains(&text.len()) && text.bytes().all(is_of_id)).then(|| Self(text.to_owned()))
    }

    /// Reads a user id from a field that may hold another value, such as a number or a word: letters, then a dot, an
    /// underscore or a hyphen, then more characters, with at least one digit unless two capital letters and a dot (a
    /// country) precede.
    #[must_use]
    pub fn recognize(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_once(['.', '_', '-'])?;
        let is_country = text.as_bytes().get(2) == Some(&b'.')
            && prefix.len() == 2
            && prefix.bytes().all(|byte| byte.is_ascii_uppercase());
        let has_prefix = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_alphabetic());
        let is_id = is_country || rest.bytes().any(|byte| byte.is_ascii_digit());
        (has_prefix && !rest.is_empty() && is_id).then(|| Self::parse(text)).flatten()
    }

    /// Returns the id. Personal data: not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The form of a sender in an envelope. Before user ids it was a single string.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Serialized {
    One(String),
    Parts {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phone: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<String>,
    },
}

impl TryFrom<Serialized> for Sender {
    type Error = UnknownSender;

    fn try_from(written: Serialized) -> Result<Self, UnknownSender> {
        match written {
            Serialized::One(id) => Self::parse(&id),
            Serialized::Parts { phone, user_id } => Self::new(
                phone.as_deref().and_then(PhoneNumber::parse),
                user_id.as_deref().and_then(UserId::parse),
            ),
        }
        .ok_or(UnknownSender)
    }
}

impl From<Sender> for Serialized {
    fn from(sender: Sender) -> Self {
        Self::Parts {
            phone: sender.number().map(|number| number.digits().to_owned()),
            user_id: sender.user_id().map(|user_id| user_id.0.clone()),
        }
    }
}

impl fmt::Display for Sender {
    /// Writes the masked identity, which is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(number) | Self::Both(number, _) => fmt::Debug::fmt(number, f),
            Self::UserId(user_id) => Masked(&user_id.0).fmt(f),
        }
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Masked(&self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_user_id_are_distinguished_by_form() {
        assert!(
            matches!(Sender::parse("+16505551234"), Some(Sender::Phone(number)) if number.digits() == "16505551234")
        );
        assert!(matches!(Sender::parse("US.ENT.11815799212886844830"), Some(Sender::UserId(_))));
        let long = format!("US.{}", "a".repeat(128));
        assert!(matches!(Sender::parse(&long), Some(Sender::UserId(_))));
        for id in ["user.9373795779eb6441", "us.123", "USA_123", "user-12"] {
            assert!(matches!(Sender::parse(id), Some(Sender::UserId(_))), "{id}");
        }
        for neither in ["", "+", "hello", "hello.world", "US.", ".12", "12.5", "US.12 3", "1650555123x"] {
            assert_eq!(Sender::parse(neither), None, "{neither}");
        }
        for too_long in ["1".repeat(21), format!("US.{}", "a".repeat(300))] {
            assert_eq!(Sender::parse(&too_long), None);
        }
    }

    #[test]
    fn a_user_id_is_letters_digits_and_punctuation() {
        for id in ["US.1", "user.9373795779eb6441", "16505551234", "a_b-C.9", &"9".repeat(200)] {
            assert_eq!(UserId::parse(id).as_ref().map(UserId::as_str), Some(id));
        }
        for none in ["", " ", "US.12 3", "US.1\n", "+16505551234", "ü.1", "a,b", "(1)", &"9".repeat(201)] {
            assert_eq!(UserId::parse(none), None, "{none}");
        }
    }

    #[test]
    fn a_sender_round_trips_and_the_older_form_is_read() {
        for json in [
            r#"{"phone":"16505551234"}"#,
            r#"{"user_id":"US.1"}"#,
            r#"{"phone":"16505551234","user_id":"US.1"}"#,
        ] {
            let sender: Sender = serde_json::from_str(json).expect("a sender");
            assert_eq!(serde_json::to_string(&sender).expect("JSON"), json);
        }
        for id in ["16505551234", "US.1"] {
            assert_eq!(serde_json::from_str::<Sender>(&format!("\"{id}\"")).ok(), Sender::parse(id));
        }
        for invalid in ["{}", r#"{"phone":"hello"}"#, "\"hello\"", "7"] {
            assert!(serde_json::from_str::<Sender>(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn debug_and_display_mask_both_identifiers() {
        let both = Sender::new(PhoneNumber::parse("16505551234"), UserId::parse("US.13491208655302741918"));
        let printed = format!("{both:?} {}", both.as_ref().expect("a sender"));
        assert!(!printed.contains("1650555") && !printed.contains("1349120"), "{printed}");
    }

    proptest::proptest! {
        #[test]
        fn a_recognized_user_id_can_be_parsed(text in "[A-Za-z0-9._+ -]{0,12}", any: String) {
            for text in [&text, &any] {
                if let Some(id) = UserId::recognize(text) {
                    proptest::prop_assert_eq!(UserId::parse(text), Some(id));
                }
                if let Some(Sender::UserId(id)) = Sender::parse(text) {
                    proptest::prop_assert_eq!(UserId::recognize(id.as_str()), Some(id));
                }
            }
        }
    }
}
