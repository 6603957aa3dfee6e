//! Where a page of the history begins.
//!
//! Pages are read by keyset: the rows before a certain row, in the order of `created_at` and `id`. A page
//! does not move when newer rows arrive, and reading the thousandth costs what reading the first does.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use postgrest::Builder;
use shared::message::MessageResponse;
use uuid::Uuid;

/// The last row of the page before, as an opaque text: base64url of 8 bytes of microseconds since 1970
/// and 16 bytes of id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    created_at: DateTime<Utc>,
    id: Uuid,
}

/// Text that is no cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("before must be a cursor taken from a Link header of this API")]
pub struct CursorError;

impl Cursor {
    /// The cursor of the page that follows `last`.
    #[must_use]
    pub fn after(last: &MessageResponse) -> Self {
        Self { created_at: last.created_at, id: last.id }
    }

    /// Restricts a request to the rows that follow.
    ///
    /// The first condition says nothing that the second does not; it is the one by which PostgreSQL finds
    /// the place in the index.
    #[must_use]
    pub fn restrict(&self, request: Builder) -> Builder {
        let created_at = self.created_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let before = format!("created_at.lt.{created_at},id.lt.{}", self.id);
        request.lte("created_at", created_at).or(before)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.created_at.timestamp_micros().to_be_bytes());
        bytes[8..].copy_from_slice(self.id.as_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let (micros, id) = bytes.split_first_chunk::<8>().ok_or(CursorError)?;
        let created_at = DateTime::from_timestamp_micros(i64::from_be_bytes(*micros)).ok_or(CursorError)?;
        let id = Uuid::from_slice(id).map_err(|_| CursorError)?;
        // PostgreSQL reads years up to 9999 as they are written here.
        let readable = (1..=9999).contains(&chrono::Datelike::year(&created_at));
        if readable { Ok(Self { created_at, id }) } else { Err(CursorError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_cursor_is_refused() {
        let year_10000 =
            Cursor { created_at: DateTime::from_timestamp(253_402_300_800, 0).unwrap(), id: Uuid::nil() };
        for text in ["", "x", "AAAA", "created_at.lt.now()", &"A".repeat(33), &year_10000.to_string()] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_cursor_survives_its_text_and_fits_a_url(micros in 0i64..253_402_300_799_999_999, id: u128) {
            let cursor = Cursor { created_at: DateTime::from_timestamp_micros(micros).unwrap(), id: Uuid::from_u128(id) };
            let text = cursor.to_string();
            proptest::prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            proptest::prop_assert_eq!(text.parse(), Ok(cursor));
        }

        #[test]
        fn no_text_makes_it_panic(text: String, bytes: Vec<u8>) {
            let _ = text.parse::<Cursor>();
            let _ = URL_SAFE_NO_PAD.encode(bytes).parse::<Cursor>();
        }
    }
}
