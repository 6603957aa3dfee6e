//! Who writes: a phone number, a business-scoped user id, or both.
//!
//! Since April 2026 a person can write without a phone number, and every message carries a user id. Source:
//! “Business-scoped user IDs”, WhatsApp Business Platform documentation.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::logging::Masked;

/// Digits of a phone number at most. E.164 allows 15; some more do no harm.
const MAX_DIGITS: usize = 20;
/// Characters of a user id at most: the country, `ENT` and 128, and some more.
const MAX_USER_ID: usize = 200;

/// A person who writes to us, as far as Meta says who it is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Sender {
    /// Somebody of whom only the number is known.
    Phone(PhoneNumber),
    /// Somebody who has no number for us: they have a username.
    UserId(UserId),
    /// Somebody of whom both are known.
    Both(PhoneNumber, UserId),
}

/// A phone number: digits, with country code, without `+`, as Meta writes it.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct PhoneNumber(String);

/// A business-scoped user id (BSUID), `US.13491208655302741918`: the country's two letters, a dot, letters and digits.
/// It names one person towards one business.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct UserId(String);

/// Neither a phone number nor a user id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("neither a phone number nor a business-scoped user id")]
pub struct Nobody;

impl Sender {
    /// Puts together what is known; nothing when nothing is.
    #[must_use]
    pub fn new(number: Option<PhoneNumber>, user_id: Option<UserId>) -> Option<Self> {
        match (number, user_id) {
            (Some(number), Some(user_id)) => Some(Self::Both(number, user_id)),
            (Some(number), None) => Some(Self::Phone(number)),
            (None, Some(user_id)) => Some(Self::UserId(user_id)),
            (None, None) => None,
        }
    }

    /// Reads a phone number or a user id; which one it is shows in its form.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        PhoneNumber::parse(id).map(Self::Phone).or_else(|| UserId::parse(id).map(Self::UserId))
    }

    /// The number, if it is known.
    #[must_use]
    pub fn number(&self) -> Option<&PhoneNumber> {
        match self {
            Self::Phone(number) | Self::Both(number, _) => Some(number),
            Self::UserId(_) => None,
        }
    }

    /// The user id, if it is known.
    #[must_use]
    pub fn user_id(&self) -> Option<&UserId> {
        match self {
            Self::UserId(user_id) | Self::Both(_, user_id) => Some(user_id),
            Self::Phone(_) => None,
        }
    }
}

impl PhoneNumber {
    /// Reads digits, with or without `+`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+').unwrap_or(text);
        let is_number =
            (1..=MAX_DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Self(digits.to_owned()))
    }

    /// The digits. Personal data: not for logs.
    #[must_use]
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// As databases usually hold it: `+16505551234`. Personal data: not for logs.
    #[must_use]
    pub fn e164(&self) -> String {
        format!("+{}", self.0)
    }

    /// The same number as the other of two ways to write it: Brazilian and Mexican mobile numbers come with and without
    /// a digit (`55 DD 9…`, `52 1 …`).
    ///
    /// A Brazilian number whose part after the area code begins with 2 to 5 is a landline's, and the one with a 9 before
    /// it somebody else's.
    #[must_use]
    pub fn variant(&self) -> Option<Self> {
        let digits = self.0.as_str();
        match digits.as_bytes() {
            [b'5', b'5', _, _, b'9', first, ..] if digits.len() == 13 && !is_landline(*first) => {
                Some(Self(format!("{}{}", &digits[..4], &digits[5..])))
            }
            [b'5', b'5', _, _, first, ..] if digits.len() == 12 && !is_landline(*first) => {
                Some(Self(format!("{}9{}", &digits[..4], &digits[4..])))
            }
            [b'5', b'2', b'1', ..] if digits.len() == 13 => Some(Self(format!("52{}", &digits[3..]))),
            [b'5', b'2', ..] if digits.len() == 12 => Some(Self(format!("521{}", &digits[2..]))),
            _ => None,
        }
    }

    /// The shorter of the ways to write it: equal for two spellings of one number.
    #[must_use]
    pub fn comparable(&self) -> Cow<'_, str> {
        match self.variant() {
            Some(Self(shorter)) if shorter.len() < self.0.len() => Cow::Owned(shorter),
            _ => Cow::Borrowed(&self.0),
        }
    }
}

const fn is_landline(first_digit: u8) -> bool {
    matches!(first_digit, b'2'..=b'5')
}

impl UserId {
    /// Reads a user id; the form of a parent business (`US.ENT.…`) is one, too.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (country, rest) = text.split_once('.')?;
        let country = country.len() == 2 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        let rest = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        (country && rest && text.len() <= MAX_USER_ID).then(|| Self(text.to_owned()))
    }

    /// The id, as it is. Personal data: not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As a sender stands in an envelope. Before user ids it was a single text.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Written {
    One(String),
    Parts {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phone: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<String>,
    },
}

impl TryFrom<Written> for Sender {
    type Error = Nobody;

    fn try_from(written: Written) -> Result<Self, Nobody> {
        match written {
            Written::One(id) => Self::parse(&id),
            Written::Parts { phone, user_id } => Self::new(
                phone.as_deref().and_then(PhoneNumber::parse),
                user_id.as_deref().and_then(UserId::parse),
            ),
        }
        .ok_or(Nobody)
    }
}

impl From<Sender> for Written {
    fn from(sender: Sender) -> Self {
        Self::Parts {
            phone: sender.number().map(|number| number.0.clone()),
            user_id: sender.user_id().map(|user_id| user_id.0.clone()),
        }
    }
}

impl fmt::Display for Sender {
    /// Masked: it is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Phone(number) | Self::Both(number, _) => Masked(&number.0).fmt(f),
            Self::UserId(user_id) => Masked(&user_id.0).fmt(f),
        }
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Masked(&self.0).fmt(f)
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

    fn variant(digits: &str) -> Option<String> {
        PhoneNumber::parse(digits).and_then(|number| number.variant()).map(|number| number.0)
    }

    #[test]
    fn a_sender_is_a_number_or_a_user_id_by_its_form() {
        assert!(
            matches!(Sender::parse("+16505551234"), Some(Sender::Phone(number)) if number.digits() == "16505551234")
        );
        assert!(matches!(Sender::parse("US.ENT.11815799212886844830"), Some(Sender::UserId(_))));
        let long = format!("US.{}", "a".repeat(128));
        assert!(matches!(Sender::parse(&long), Some(Sender::UserId(_))));
        for neither in ["", "+", "hello", "us.123", "USA.123", "US.", "US.12 3", "1650555123x"] {
            assert_eq!(Sender::parse(neither), None, "{neither}");
        }
        for too_long in ["1".repeat(21), format!("US.{}", "a".repeat(300))] {
            assert_eq!(Sender::parse(&too_long), None);
        }
    }

    #[test]
    fn brazilian_and_mexican_mobile_numbers_have_two_spellings_and_no_others_have() {
        for (with, without) in [("5511987654321", "551187654321"), ("5215512345678", "525512345678")] {
            assert_eq!(variant(with).as_deref(), Some(without));
            assert_eq!(variant(without).as_deref(), Some(with));
            let [with, without] = [with, without].map(|digits| PhoneNumber::parse(digits).expect("a number"));
            assert_eq!(with.comparable(), without.comparable());
        }
        for other in ["16505551234", "551132654321", "5511932654321", "55118765432", "15511987654", "5215512"]
        {
            assert_eq!(variant(other), None, "{other}");
        }
    }

    #[test]
    fn a_sender_survives_an_envelope_and_an_older_one_is_read() {
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
        for nobody in ["{}", r#"{"phone":"hello"}"#, "\"hello\"", "7"] {
            assert!(serde_json::from_str::<Sender>(nobody).is_err(), "{nobody}");
        }
    }

    #[test]
    fn neither_is_printed() {
        let both = Sender::new(PhoneNumber::parse("16505551234"), UserId::parse("US.13491208655302741918"));
        let printed = format!("{both:?} {}", both.as_ref().expect("a sender"));
        assert!(!printed.contains("1650555") && !printed.contains("1349120"), "{printed}");
    }

    proptest::proptest! {
        #[test]
        fn a_variant_s_variant_is_the_number_itself(digits in "(55|52|521|1)[0-9]{8,12}", text: String) {
            if let Some(number) = PhoneNumber::parse(&digits)
                && let Some(variant) = number.variant()
            {
                proptest::prop_assert_eq!(variant.variant(), Some(number.clone()));
                proptest::prop_assert_eq!(variant.comparable(), number.comparable());
            }
            let _ = Sender::parse(&text);
        }
    }
}
