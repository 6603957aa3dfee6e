//! The callback data of a send, which Meta returns in every status of the message: `biz_opaque_callback_data`.
//!
//! Source: “Messages API” and “status messages webhook reference”, WhatsApp Business Platform documentation, November
//! 2026.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Identifies a send: `v1:`, the reply's id, the part, and the time in milliseconds since 1970. At most 73 of the 512 bytes
/// that Meta allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Callback {
    /// The id of the reply's row, whether or not it is written.
    pub answer_id: Uuid,
    /// The part of the reply, from 1.
    pub part: u32,
    /// The time of the send.
    pub sent_at: DateTime<Utc>,
}

impl Callback {
    /// Parses callback data. Returns `None` for the data of another program.
    #[must_use]
    pub fn parse(data: &str) -> Option<Self> {
        let mut fields = data.strip_prefix("v1:")?.splitn(3, ':');
        Some(Self {
            answer_id: fields.next()?.parse().ok()?,
            // Stored as an `integer`.
            part: fields.next()?.parse().ok().filter(|part| *part > 0 && i32::try_from(*part).is_ok())?,
            sent_at: DateTime::from_timestamp_millis(fields.next()?.parse().ok()?)?,
        })
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1:{}:{}:{}", self.answer_id, self.part, self.sent_at.timestamp_millis())
    }
}

impl serde::Serialize for Callback {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn callback_data_round_trips(id: u128, part in 1..=i32::MAX as u32, ms in 0i64..253_402_300_800_000) {
            let sent_at = DateTime::from_timestamp_millis(ms).expect("a time");
            let callback = Callback { answer_id: Uuid::from_u128(id), part, sent_at };
            proptest::prop_assert_eq!(Callback::parse(&callback.to_string()), Some(callback));
            proptest::prop_assert!(callback.to_string().len() <= 73);
        }

        #[test]
        fn parsing_never_panics(data: String, rest in "[0-9a-f:-]{0,80}") {
            let _ = Callback::parse(&data);
            let _ = Callback::parse(&format!("v1:{rest}"));
        }
    }

    #[test]
    fn data_of_another_program_is_none() {
        for data in [
            "",
            "order-7",
            "v1:order-7",
            "v2:3a40fda8-9cb8-50a3-b8bc-f338e17ce5db:1:0",
            "v1:3a40fda8-9cb8-50a3-b8bc-f338e17ce5db:0:0",
        ] {
            assert_eq!(Callback::parse(data), None, "{data}");
        }
    }
}
