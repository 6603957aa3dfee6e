//! Rows of the table `messages`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::meta::wamid::Wamid;

/// The role of a message's author.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "String", rename_all = "lowercase")]
pub enum Role {
    /// The user.
    User,
    /// The business, for replies and for messages that it wrote in its app.
    Assistant,
    /// A role that another program wrote into the table.
    #[serde(untagged)]
    Other(String),
}

impl Role {
    /// Returns the value in the table.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Other(other) => other,
        }
    }
}

impl From<String> for Role {
    fn from(role: String) -> Self {
        match role.as_str() {
            "user" => Self::User,
            "assistant" => Self::Assistant,
            _ => Self::Other(role),
        }
    }
}

/// The channel of a message.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "String", rename_all = "lowercase")]
pub enum Channel {
    /// WhatsApp, the only channel that this project writes.
    Whatsapp,
    /// A channel that another program wrote into the table.
    #[serde(untagged)]
    Other(String),
}

impl From<String> for Channel {
    fn from(channel: String) -> Self {
        if channel == "whatsapp" { Self::Whatsapp } else { Self::Other(channel) }
    }
}

/// A time for display: RFC 3339, in UTC.
///
/// PostgREST's format of most times differs only in the last characters. A page holds hundreds of times, and parsing
/// and formatting each would take longer than the rest of the page. A time outside RFC 3339 (`infinity`, a year before
/// 1 or after 9999) is shown as PostgreSQL writes it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Timestamp(String);

impl Timestamp {
    /// Returns the time as it is shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Timestamp {
    fn from(text: String) -> Self {
        Self(of_another_era(&text).unwrap_or_else(|| in_utc(text)))
    }
}

/// Converts a time of the years 1 to 9999 to UTC; returns any other string unchanged.
fn in_utc(mut text: String) -> String {
    let has_four_digit_year = text.as_bytes().get(4) == Some(&b'-');
    if has_four_digit_year && text.ends_with("+00:00") {
        text.truncate(text.len() - "+00:00".len());
        // PostgreSQL omits trailing zeros; a time is shown with three, six or nine digits, or none.
        if let Some((_, digits)) = text.rsplit_once('.') {
            text.extend(std::iter::repeat_n('0', digits.len().next_multiple_of(3) - digits.len()));
        }
        text.push('Z');
    } else if !text.ends_with('Z')
        && let Ok(time) = DateTime::parse_from_rfc3339(&text)
    {
        text = time.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true);
    }
    text
}

/// Converts a year before 1 or after 9999 from ISO 8601 with a sign, as some servers write it, to PostgreSQL's format:
/// `+57873-…`, and `-0043-…`, which is 44 BC.
fn of_another_era(text: &str) -> Option<String> {
    if let Some(later) = text.strip_prefix('+') {
        return Some(later.to_owned());
    }
    let unsigned = text.strip_prefix('-').or_else(|| text.starts_with("0000-").then_some(text))?;
    let (year, rest) = unsigned.split_once('-')?;
    let year = year.parse::<u32>().ok()?.checked_add(1)?;
    Some(format!("{year:04}-{rest} BC"))
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// A new row.
#[derive(Clone, Serialize)]
pub struct MessageCreate {
    /// Derived from the wamid and the role, so that writing is idempotent.
    pub id: Uuid,
    /// The user of the history.
    pub user_id: Uuid,
    /// The channel of the message.
    pub channel: Channel,
    /// The role of the author.
    pub role: Role,
    /// The text of the message.
    pub content: String,
    /// The time of the message, which orders the history.
    pub created_at: DateTime<Utc>,
    /// The reason for a user's message without a reply, when it should have had one.
    pub unanswered_because: Option<String>,
    /// Meta's type of the message.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Further stored data: of a user's message, including its JSON from Meta; of a reply, how it came about.
    pub payload: Option<Box<RawValue>>,
    /// The phone number id that received or sent it.
    pub phone_number_id: Option<String>,
    /// Meta's ids of the message: of a long reply, one for each part.
    pub wamids: Option<Vec<Wamid>>,
    /// The wamid that a reaction, an edit or a revoke refers to.
    pub refers_to: Option<Wamid>,
}

/// A row as its owner sees it. A row that another program left incomplete is shown with `null`; the columns after
/// [`Self::created_at`], which are newer, are left out where they are `null`.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct MessageResponse {
    /// The row's id.
    pub id: Uuid,
    /// The user of the history.
    pub user_id: Uuid,
    /// The channel of the message.
    pub channel: Option<Channel>,
    /// The role of the author.
    pub role: Option<Role>,
    /// The text of the message.
    pub content: Option<String>,
    /// The time of the message, which orders the history.
    pub created_at: Timestamp,
    /// Meta's type of the message: `text`, `image`, … An unknown type is shown unchanged.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The phone number id that received or sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// The wamid that a reaction, an edit or a revoke refers to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<String>,
    /// The delivery status of a reply: `sent`, `delivered`, `read`, `played` or `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The time at which Meta sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// The time of delivery to the user's device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Timestamp>,
    /// The time at which the user read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    /// The time at which the user played it, if it is a voice message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub played_at: Option<Timestamp>,
    /// The time at which its delivery failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Timestamp>,
    /// Meta's error code of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<i64>,
    /// Meta's error message of the failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_text: Option<String>,
    /// The time of the author's last edit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    /// The time at which the author deleted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Meta's ids of the message. Not shown: the log identifies messages by them.
    #[serde(default, skip_serializing)]
    pub wamids: Option<Vec<String>>,
}

impl MessageResponse {
    /// The columns for PostgREST's `select`; the last one is read but not shown.
    pub const COLUMNS: &str = "id,user_id,channel,role,content,created_at,type,phone_number_id,refers_to,\
        status,sent_at,delivered_at,read_at,played_at,failed_at,error_code,error_text,edited_at,revoked_at,wamids";
}

impl std::fmt::Debug for MessageCreate {
    /// Without `content`, which is personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("MessageCreate");
        debug.field("id", &self.id).field("user_id", &self.user_id).field("role", &self.role);
        debug.finish_non_exhaustive()
    }
}

impl std::fmt::Debug for MessageResponse {
    /// Without `content`, which is personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("MessageResponse");
        debug.field("id", &self.id).field("user_id", &self.user_id).field("role", &self.role);
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    #[test]
    fn a_row_of_postgrest_is_read() {
        let row = r#"{"id":"9b2f0c1e-8a55-5c1e-9d3e-0a1b2c3d4e5f","user_id":"11111111-1111-4111-8111-111111111111",
            "channel":"whatsapp","role":"assistant","content":"hi","created_at":"2026-11-24T03:05:00.123456+00:00"}"#;
        let row: MessageResponse = serde_json::from_str(row).expect("a row");
        assert_eq!((&row.channel, &row.role), (&Some(Channel::Whatsapp), &Some(Role::Assistant)));
        let json = serde_json::to_value(&row).expect("JSON");
        assert_eq!(json["created_at"], "2026-11-24T03:05:00.123456Z");
        assert!(!format!("{row:?}").contains("hi\""));
    }

    #[test]
    fn a_time_is_shown_in_utc_for_any_database_time_zone() {
        for (written, shown) in [
            ("2026-11-24T03:05:00+00:00", "2026-11-24T03:05:00Z"),
            ("2026-11-24T03:05:00.12345+00:00", "2026-11-24T03:05:00.123450Z"),
            ("2026-11-24T03:05:00.5+00:00", "2026-11-24T03:05:00.500Z"),
            ("2026-11-24T03:05:00Z", "2026-11-24T03:05:00Z"),
            ("2026-11-24T05:05:00.5+02:00", "2026-11-24T03:05:00.500Z"),
            // Times outside RFC 3339.
            ("infinity", "infinity"),
            ("-infinity", "-infinity"),
            ("0044-03-15T00:00:00+00:00 BC", "0044-03-15T00:00:00+00:00 BC"),
            ("57873-10-06T05:22:00.123+00:00", "57873-10-06T05:22:00.123+00:00"),
            ("0044-03-15T00:17:30+00:17:30 BC", "0044-03-15T00:17:30+00:17:30 BC"),
            // The same times from a server other than PostgREST.
            ("+57873-10-06T05:22:00.123+00:00", "57873-10-06T05:22:00.123+00:00"),
            ("-0043-03-15T00:00:00+00:00", "0044-03-15T00:00:00+00:00 BC"),
            ("0000-12-31T23:59:00+00:00", "0001-12-31T23:59:00+00:00 BC"),
        ] {
            let time: Timestamp = serde_json::from_value(json!(written)).expect(written);
            assert_eq!(serde_json::to_value(time).expect("JSON"), shown);
        }
        assert!(serde_json::from_value::<Timestamp>(json!(5)).is_err());
    }

    #[test]
    fn an_incomplete_row_is_read() {
        let row = r#"{"id":"9b2f0c1e-8a55-5c1e-9d3e-0a1b2c3d4e5f","user_id":"11111111-1111-4111-8111-111111111111",
            "channel":null,"role":null,"content":null,"created_at":"2026-11-24T03:05:00+00:00"}"#;
        let row: MessageResponse = serde_json::from_str(row).expect("a row");
        assert_eq!(serde_json::to_value(&row).expect("JSON")["content"], Value::Null);
    }

    #[test]
    fn a_row_without_the_newer_columns_is_shown_as_before() {
        let older = r#"{"id":"9b2f0c1e-8a55-5c1e-9d3e-0a1b2c3d4e5f","user_id":"11111111-1111-4111-8111-111111111111","channel":"whatsapp","role":"user","content":null,"created_at":"2026-11-24T03:05:00Z""#;
        let newer: String =
            MessageResponse::COLUMNS.split(',').skip(6).map(|name| format!(",\"{name}\":null")).collect();
        for row in [format!("{older}}}"), format!("{older}{newer}}}")] {
            let row: MessageResponse = serde_json::from_str(&row).expect("a row");
            assert_eq!(serde_json::to_string(&row).expect("JSON"), format!("{older}}}"));
        }
    }

    #[test]
    fn only_the_columns_are_shown_and_in_their_order() {
        let id = "9b2f0c1e-8a55-5c1e-9d3e-0a1b2c3d4e5f";
        let value = |name: &str| match name {
            "id" | "user_id" => json!(id),
            "error_code" => json!(131_026),
            name if name.ends_with("_at") => json!("2026-11-24T03:05:00Z"),
            "type" => json!("hologram"),
            name => json!(name),
        };
        let mut row: Map<_, _> =
            MessageResponse::COLUMNS.split(',').map(|name| (name.to_owned(), value(name))).collect();
        for hidden in ["payload", "wamids", "unanswered_because"] {
            row.insert(hidden.to_owned(), json!(["hidden"]));
        }
        let row: MessageResponse = serde_json::from_value(Value::Object(row)).expect("a row");
        let shown = serde_json::to_string(&row).expect("JSON");
        let shown_columns = MessageResponse::COLUMNS.split(',').filter(|name| *name != "wamids");
        let in_order: Vec<_> = shown_columns.map(|name| format!("\"{name}\":{}", value(name))).collect();
        assert_eq!(shown, format!("{{{}}}", in_order.join(",")));
    }

    #[test]
    fn roles_and_channels_of_other_programs_are_read_unchanged() {
        let role: Role = serde_json::from_str("\"system\"").expect("a role");
        let channel: Channel = serde_json::from_str("\"web\"").expect("a channel");
        assert_eq!(serde_json::to_string(&(role, channel)).expect("JSON"), r#"["system","web"]"#);
    }
}
