//! Where a page of the history begins.
//!
//! Pages are read by keyset: the rows before a certain row, in the order of `created_at` and `id`. A page
//! does not move when newer rows arrive, and reading the thousandth costs what reading the first does.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike, Utc};
use postgrest::Builder;
use shared::message::MessageResponse;
use uuid::Uuid;

/// The last row of the page before, as an opaque text: base64url of its time and the 16 bytes of its id. The time is 8
/// bytes of microseconds since 1970, or the text that PostgreSQL writes where that is no time of the years 1 to 9999.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cursor {
    created_at: Time,
    id: Uuid,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Time {
    /// In the years 1 to 9999. The first byte of its microseconds is below 4 or above 251.
    Ordinary(DateTime<Utc>),
    /// `infinity`, or a time of another year: 1 to [`MAX_TEXT`] characters of [`of_a_time`], none of which is the first
    /// byte of an ordinary time. Whether it is one is for PostgreSQL to say.
    Text(String),
}

/// Characters of a time at most: `4713-01-01T00:00:00.000000+00:00:00 BC`, and some.
const MAX_TEXT: usize = 48;

/// Text that is no cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("before must be a cursor taken from a Link header of this API")]
pub struct CursorError;

impl Cursor {
    /// The cursor of the page that follows `last`.
    #[must_use]
    pub fn after(last: &MessageResponse) -> Self {
        let text = last.created_at.as_str();
        let time = DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc()).and_then(ordinary);
        let created_at = time.unwrap_or_else(|| Time::Text(text.to_owned()));
        Self { created_at, id: last.id }
    }

    /// Whether PostgreSQL may find that its time is none: a text with the form of a cursor that was not written here.
    #[must_use]
    pub fn may_be_none(&self) -> bool {
        matches!(self.created_at, Time::Text(_))
    }

    /// Restricts a request to the rows that follow.
    ///
    /// The first condition says nothing that the second does not; it is the one by which PostgreSQL finds
    /// the place in the index.
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

/// A time that PostgreSQL reads as it is written here.
fn ordinary(time: DateTime<Utc>) -> Option<Time> {
    (1..=9999).contains(&time.year()).then_some(Time::Ordinary(time))
}

/// Whether PostgreSQL writes it in a time. None of them has a meaning in a filter of PostgREST's.
fn of_a_time(byte: u8) -> bool {
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
            _ if time.len() <= MAX_TEXT && !time.is_empty() && time.iter().copied().all(of_a_time) => {
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
    fn what_is_no_cursor_is_refused() {
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
    fn a_cursor_that_was_written_before_is_read() {
        let cursor: Cursor = "AAZEVn9QS-A2qbj2_X5YILCAvVuvorLm".parse().expect("a cursor");
        assert_eq!(cursor.to_string(), "AAZEVn9QS-A2qbj2_X5YILCAvVuvorLm");
        let id = 0x36a9_b8f6_fd7e_5820_b080_bd5b_afa2_b2e6;
        assert_eq!(cursor, after("2025-11-24T12:42:34.108896+00:00", id));
    }

    /// What PostgreSQL writes for a `timestamptz` in JSON.
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
        fn every_cursor_survives_its_text_and_fits_a_url(time in times(), id: u128) {
            let cursor = after(&time, id);
            let text = cursor.to_string();
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert!((32..=86).contains(&text.len()));
            prop_assert_eq!(text.parse(), Ok(cursor));
        }

        #[test]
        fn no_text_makes_it_panic(text: String, bytes: Vec<u8>) {
            let _ = text.parse::<Cursor>();
            let _ = URL_SAFE_NO_PAD.encode(bytes).parse::<Cursor>();
        }
    }
}
