//! Meta's id of a message (wamid), and the key of a message in the history.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::lambda::logging::ShortWamid;

/// The prefix of the key of a message without a wamid, in the database and on the queues.
const UNNAMED: &str = "unnamed.";

/// Meta's id of a message: not blank, without U+0000, and of at most [`Wamid::MAX_BYTES`].
///
/// It contains the phone number of the user: in a log it is shortened, see [`ShortWamid`].
#[derive(Clone, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct Wamid(String);

/// A string that is not a wamid.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a wamid: blank, longer than 1024 bytes, or with a NUL character")]
pub struct InvalidWamid;

impl Wamid {
    /// The maximum size in bytes. Wamids have some 60; a B-tree index entry of PostgreSQL has at most 2704 bytes (a
    /// third of a page), and PostgreSQL refuses a row with a longer entry. Source: “Limitations” of B-tree indexes,
    /// PostgreSQL documentation.
    pub const MAX_BYTES: usize = 1024;

    /// Reads a wamid.
    ///
    /// # Errors
    /// When it is blank, too long, or holds U+0000, which PostgreSQL's `text` refuses.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidWamid> {
        let text = text.into();
        if Self::is_valid(&text) { Ok(Self(text)) } else { Err(InvalidWamid) }
    }

    fn is_valid(text: &str) -> bool {
        !text.trim().is_empty() && text.len() <= Self::MAX_BYTES && !text.contains('\0')
    }

    /// Returns the wamid as Meta writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Wamid {
    type Error = InvalidWamid;

    fn try_from(text: String) -> Result<Self, InvalidWamid> {
        Self::parse(text)
    }
}

impl From<Wamid> for String {
    fn from(wamid: Wamid) -> Self {
        wamid.0
    }
}

impl fmt::Debug for Wamid {
    /// Writes the shortened wamid.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ShortWamid::of(&self.0).fmt(f)
    }
}

/// Reads an optional wamid of an envelope; an invalid one counts as absent.
///
/// # Errors
/// When the value is neither a string nor `null`.
pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Wamid>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| Wamid::parse(text).ok()))
}

/// Reads the wamids of an envelope; invalid ones are left out.
///
/// # Errors
/// When the value is not a list of strings.
pub fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Wamid>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    Ok(texts.into_iter().filter_map(|text| Wamid::parse(text).ok()).collect())
}

/// The key of a message, from which the ids of its rows are derived.
///
/// On the queues and in the database it is one string, which [`MessageKey::as_str`] writes and `From<String>` reads.
#[derive(Clone, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(from = "String", into = "String")]
pub enum MessageKey {
    /// Meta's id.
    Wamid(Wamid),
    /// A message without a usable id.
    Unnamed(Unnamed),
}

/// The key of a message without a usable id: `unnamed.` and a UUIDv5 of the message's JSON, so that only identical
/// messages share it; or the id in the message, when that is not a wamid.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Unnamed(String);

impl MessageKey {
    /// Returns the key of `message` with this `id`.
    #[must_use]
    pub fn of(id: Option<String>, message: &RawValue) -> Self {
        let unnamed = || format!("{UNNAMED}{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, message.get().as_bytes()));
        id.unwrap_or_else(unnamed).into()
    }

    /// Returns Meta's id of the message, if it has one.
    #[must_use]
    pub fn wamid(&self) -> Option<&Wamid> {
        match self {
            Self::Wamid(wamid) => Some(wamid),
            Self::Unnamed(_) => None,
        }
    }

    /// Returns the key as a string, for the database and the queues.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Wamid(wamid) => wamid.as_str(),
            Self::Unnamed(unnamed) => &unnamed.0,
        }
    }
}

impl From<String> for MessageKey {
    fn from(key: String) -> Self {
        if key.starts_with(UNNAMED) || !Wamid::is_valid(&key) {
            Self::Unnamed(Unnamed(key))
        } else {
            Self::Wamid(Wamid(key))
        }
    }
}

impl From<&str> for MessageKey {
    fn from(key: &str) -> Self {
        key.to_owned().into()
    }
}

impl From<MessageKey> for String {
    fn from(key: MessageKey) -> Self {
        match key {
            MessageKey::Wamid(wamid) => wamid.0,
            MessageKey::Unnamed(unnamed) => unnamed.0,
        }
    }
}

impl fmt::Debug for MessageKey {
    /// Writes the shortened key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ShortWamid::of(self.as_str()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> &RawValue {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn a_wamid_is_a_string_that_postgresql_can_store_and_index() {
        for wamid in ["wamid.HBgLMTY1MDU1NTEyMzQ=", "w", &"w".repeat(Wamid::MAX_BYTES)] {
            assert_eq!(Wamid::parse(wamid).as_ref().map(Wamid::as_str), Ok(wamid));
        }
        for none in ["", " ", "a\0b", &"w".repeat(Wamid::MAX_BYTES + 1)] {
            assert_eq!(Wamid::parse(none), Err(InvalidWamid));
        }
    }

    #[test]
    fn a_key_is_written_and_read_as_one_string() {
        let long = "w".repeat(5000);
        for (key, has_wamid) in [
            (MessageKey::of(Some("wamid.1".to_owned()), message("{}")), true),
            (MessageKey::of(Some(long.clone()), message("{}")), false),
            (MessageKey::of(Some("a\0b".to_owned()), message("{}")), false),
            (MessageKey::of(None, message("{}")), false),
        ] {
            let json = serde_json::to_string(&key).expect("JSON");
            assert_eq!(serde_json::from_str::<MessageKey>(&json).expect("a key"), key);
            assert_eq!(key.wamid().is_some(), has_wamid);
        }
        assert_eq!(MessageKey::of(Some(long.clone()), message("{}")).as_str(), long);
    }

    #[test]
    fn the_key_of_a_message_without_an_id_never_changes() {
        // A fixed value, because rows in production tables have it.
        let key = MessageKey::of(None, message(r#"{"type":"text"}"#));
        assert_eq!(key.as_str(), "unnamed.df59f072-e7ca-57ab-8b2c-fec24fdf1dd5");
        assert_ne!(key, MessageKey::of(None, message(r#"{"type":"image"}"#)));
    }
}
