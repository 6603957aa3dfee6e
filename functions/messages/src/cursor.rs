//! The cursor of a page of the history.
//!
//! The history is paginated by keyset: a page holds the rows before a certain row, in the order of `created_at` and
//! `id`. A page does not shift when newer rows arrive, and reading the thousandth page costs as much as the first.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, Utc};
use postgrest::Builder;
use shared::supabase::rows::MessageResponse;
use uuid::Uuid;

/// The last row of the previous page, as an opaque string: base64url of its time and the 16 bytes of its id. The time
/// is 8 bytes of microseconds since 1970, or, outside the years 1 to 9999, the text that PostgreSQL writes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cursor {
    created_at: Time,
    id: Uuid,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Time {
    /// In the years 1 to 9999. The first byte of its microseconds is below 4 or above 251.
    Ordinary(DateTime<Utc>),
    /// `infinity`, or a time of another year: 1 to [`MAX_TEXT`] characters of [`is_time_character`], none of which can be
    /// the first byte of an ordinary time. PostgreSQL validates it.
    Text(String),
}

/// Maximum number of characters of a time: `4713-01-01T00:00:00.000000+00:00:00 BC`, and some more.
const MAX_TEXT: usize = 48;

/// A string that is not a cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("before must be a cursor taken from a Link header of this API")]
pub struct CursorError;

impl Cursor {
    /// Returns the cursor of the page after the row `last`.
    #[must_use]
    pub fn after(last: &MessageResponse) -> Self {
        let text = last.created_at.as_str();
        let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()).and_then(ordinary);
        let created_at = time.unwrap_or_else(|| Time::Text(text.to_owned()));
        Self { created_at, id: last.id }
    }

    /// Whether PostgreSQL may refuse its time: a string in the form of a cursor that this API did not write.
    #[must_use]
    pub fn may_be_invalid(&self) -> bool {
        matches!(self.created_at, Time::Text(_))
    }

    /// Restricts a request to the rows after the cursor.
    ///
    /// Of the two conditions, the first lets PostgreSQL find the position in the index; the second excludes the rows of
    /// the same time that were already returned.
    #[must_use]
    pub fn restrict(&self, request: Builder) -> Builder {
        let created_at = match &self.created_at {
            Time::Ordinary(time) => time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
            Time::Text(text) => text.clone(),
        };
        let before = format!("created_at.lt.{created_at},id.lt.{}", self.id);
        request.lte("created_at", created_at).or(before)
    }
}

/// Returns a time of the years 1 to 9999, which PostgreSQL reads in RFC 3339.
fn ordinary(time: DateTime<Utc>) -> Option<Time> {
    (1..=9999).contains(&time.year()).then_some(Time::Ordinary(time))
}

/// Whether PostgreSQL uses the character in a time. None of them has a special meaning in a PostgREST filter.
fn is_time_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-+:. ".contains(&byte)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = match &self.created_at {
            Time::Ordinary(time) => time.timestamp_micros().to_be_bytes().to_vec(),
            Time::Text(text) => text.clone().into_bytes(),
        };
        bytes.extend_from_slice(self.id.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let (time, id) = bytes.split_last_chunk::<16>().ok_or(CursorError)?;
        let created_at = match time.first_chunk::<8>() {
            _ if time.len() <= MAX_TEXT
                && !time.is_empty()
                && time.iter().copied().all(is_time_character) =>
            {
                String::from_utf8(time.to_vec()).ok().map(Time::Text)
            }
            Some(micros) if time.len() == 8 => {
                DateTime::from_timestamp_micros(i64::from_be_bytes(*micros)).and_then(ordinary)
            }
            _ => None,
        };
        Ok(Self { created_at: created_at.ok_or(CursorError)?, id: Uuid::from_bytes(*id) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(created_at: &str, id: u128) -> Cursor {
        let row = serde_json::json!({
            "id": Uuid::from_u128(id), "user_id": Uuid::nil(), "created_at": created_at
        });
        Cursor::after(&serde_json::from_value(row).expect("a row"))
    }

    #[test]
    fn an_invalid_cursor_is_refused() {
        let of = |time: &[u8]| URL_SAFE_NO_PAD.encode([time, &[0; 16]].concat());
        let year_10000 = of(&253_402_300_800_000_000_i64.to_be_bytes());
        for text in [
            "",
            "x",
            "AAAA",
            "created_at.lt.now()",
            &"A".repeat(33),
            &year_10000,
            &of(b""),
            &of(b"\0"),
            &of(b"infinity,id.lt.x"),
            &of(b"infinity)"),
            &of(&[b'0'; 49]),
            &of(&[b'0'; 7].map(|_| 1)),
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }

    #[test]
    fn a_cursor_of_an_earlier_version_is_read() {
        let cursor: Cursor = "AAZEVn9QS-A2qbj2_X5YILCAvVuvorLm".parse().expect("a cursor");
        assert_eq!(cursor.to_string(), "AAZEVn9QS-A2qbj2_X5YILCAvVuvorLm");
        let id = 0x36a9_b8f6_fd7e_5820_b080_bd5b_afa2_b2e6;
        assert_eq!(cursor, after("2025-11-24T12:42:34.108896+00:00", id));
    }

    /// Times as PostgreSQL writes a `timestamptz` in JSON.
    fn times() -> impl Strategy<Value = String> {
        let date = "([0-9]{3}[1-9]|[1-9][0-9]{4}|[12][0-9]{5})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])";
        let time = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{0,5}[1-9])?";
        let zone = "(\\+00:00|[+-](0[0-9]|1[0-5]):[0-5][0-9](:[0-5][0-9])?)( BC)?";
        prop_oneof![
            Just("infinity".to_owned()),
            Just("-infinity".to_owned()),
            (date, time, zone).prop_map(|(date, time, zone)| format!("{date}T{time}{zone}"))
        ]
    }

    proptest! {
        #[test]
        fn every_cursor_round_trips_and_is_url_safe(time in times(), id: u128) {
            let cursor = after(&time, id);
            let text = cursor.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert!((32..=86).contains(&text.len()));
            prop_assert_eq!(text.parse(), Ok(cursor));
        }

        #[test]
        fn any_string_is_parsed_without_a_panic(text: String, bytes: Vec<u8>) {
            let _ = text.parse::<Cursor>();
            let _ = URL_SAFE_NO_PAD.encode(bytes).parse::<Cursor>();
        }
    }
}
