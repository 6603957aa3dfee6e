//! Rows of the table `messages`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::wamid::Wamid;

/// Who wrote a message.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "String", rename_all = "lowercase")]
pub enum Role {
    /// The person.
    User,
    /// The business: what [`Role::User`] got as an answer.
    Assistant,
    /// A role that another program wrote into the table.
    #[serde(untagged)]
    Other(String),
}

impl Role {
    /// As it stands in the table.
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

/// Where a message was exchanged.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "String", rename_all = "lowercase")]
pub enum Channel {
    /// WhatsApp, the only channel that this product writes.
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

/// A time that is only shown: RFC 3339, in UTC.
///
/// PostgREST writes most of them as they are to be shown, but for their last characters: a page holds hundreds, and
/// reading each and writing it again would take longer than all the rest of the page. What RFC 3339 cannot say
/// (`infinity`, a year before 1 or after 9999) is shown as PostgreSQL writes it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Moment(String);

impl Moment {
    /// As it is shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Moment {
    fn from(text: String) -> Self {
        Self(of_another_era(&text).unwrap_or_else(|| in_utc(text)))
    }
}

/// A time of the years 1 to 9999 in UTC; any other text as it is.
fn in_utc(mut text: String) -> String {
    let has_four_digit_year = text.as_bytes().get(4) == Some(&b'-');
    if has_four_digit_year && text.ends_with("+00:00") {
        text.truncate(text.len() - "+00:00".len());
        // PostgreSQL leaves zeros out at the end; a time is shown with three, six or nine digits, or none.
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

/// A time as PostgreSQL writes it, from a server that writes years before 1 and after 9999 as ISO 8601 does with a sign:
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

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

/// A row to be written.
#[derive(Clone, Serialize)]
pub struct MessageCreate {
    /// Derived from the wamid and the role, so that writing twice is writing once.
    pub id: Uuid,
    /// Whose history it belongs to.
    pub user_id: Uuid,
    /// Where it was exchanged.
    pub channel: Channel,
    /// Who wrote it.
    pub role: Role,
    /// What was written.
    pub content: String,
    /// When. Orders the history.
    pub created_at: DateTime<Utc>,
    /// Why a user's message has no answer, when Meta refused it permanently.
    pub unanswered_because: Option<String>,
    /// Meta's type of the message.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What else is kept of a user's message, the raw one among it.
    pub payload: Option<Box<RawValue>>,
    /// The id of the business number that received or sent it.
    pub phone_number_id: Option<String>,
    /// Meta's ids of it: of a long answer, one for each part.
    pub wamids: Option<Vec<Wamid>>,
    /// The wamid of the message that it is about: of a reaction, an edit, a revoke.
    pub refers_to: Option<Wamid>,
}

/// A row as its owner sees it. A row that another program left incomplete is shown as it is, with `null`; what
/// came into the table after [`Self::created_at`] is left out where it is `null`.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct MessageResponse {
    /// The row's id.
    pub id: Uuid,
    /// Whose history it belongs to.
    pub user_id: Uuid,
    /// Where it was exchanged.
    pub channel: Option<Channel>,
    /// Who wrote it.
    pub role: Option<Role>,
    /// What was written.
    pub content: Option<String>,
    /// When. Orders the history.
    pub created_at: Moment,
    /// What it is, in Meta's word: `text`, `image`, … One that we do not know is shown as it is.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The id of the business number that received or sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// The wamid of the message that a reaction, an edit or a revoke is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<String>,
    /// How far an answer has come: `sent`, `delivered`, `read`, `played` or `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When Meta sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Moment>,
    /// When it reached the person's device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<Moment>,
    /// When the person read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Moment>,
    /// When the person played it, a voice message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub played_at: Option<Moment>,
    /// When Meta gave it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Moment>,
    /// Why, as one of Meta's error codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<i64>,
    /// Why, in Meta's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_text: Option<String>,
    /// When its author changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Moment>,
    /// When its author took it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Moment>,
    /// Meta's ids of it. Not shown: for the log, in which a message is followed by them.
    #[serde(default, skip_serializing)]
    pub wamids: Option<Vec<String>>,
}

impl MessageResponse {
    /// The columns that make one, as PostgREST's `select` wants them; the last is read and not shown.
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
    fn a_row_reads_as_postgrest_writes_it() {
        let row = r#"{"id":"9b2f0c1e-8a55-5c1e-9d3e-0a1b2c3d4e5f","user_id":"11111111-1111-4111-8111-111111111111",
            "channel":"whatsapp","role":"assistant","content":"hi","created_at":"2026-11-24T03:05:00.123456+00:00"}"#;
        let row: MessageResponse = serde_json::from_str(row).expect("a row");
        assert_eq!((&row.channel, &row.role), (&Some(Channel::Whatsapp), &Some(Role::Assistant)));
        let json = serde_json::to_value(&row).expect("JSON");
        assert_eq!(json["created_at"], "2026-11-24T03:05:00.123456Z");
        assert!(!format!("{row:?}").contains("hi\""));
    }

    #[test]
    fn a_time_is_shown_in_utc_whatever_the_database_s_zone() {
        for (written, shown) in [
            ("2026-11-24T03:05:00+00:00", "2026-11-24T03:05:00Z"),
            ("2026-11-24T03:05:00.12345+00:00", "2026-11-24T03:05:00.123450Z"),
            ("2026-11-24T03:05:00.5+00:00", "2026-11-24T03:05:00.500Z"),
            ("2026-11-24T03:05:00Z", "2026-11-24T03:05:00Z"),
            ("2026-11-24T05:05:00.5+02:00", "2026-11-24T03:05:00.500Z"),
            // What RFC 3339 cannot say.
            ("infinity", "infinity"),
            ("-infinity", "-infinity"),
            ("0044-03-15T00:00:00+00:00 BC", "0044-03-15T00:00:00+00:00 BC"),
            ("57873-10-06T05:22:00.123+00:00", "57873-10-06T05:22:00.123+00:00"),
            ("0044-03-15T00:17:30+00:17:30 BC", "0044-03-15T00:17:30+00:17:30 BC"),
            // The same by another server than PostgREST.
            ("+57873-10-06T05:22:00.123+00:00", "57873-10-06T05:22:00.123+00:00"),
            ("-0043-03-15T00:00:00+00:00", "0044-03-15T00:00:00+00:00 BC"),
            ("0000-12-31T23:59:00+00:00", "0001-12-31T23:59:00+00:00 BC"),
        ] {
            let time: Moment = serde_json::from_value(json!(written)).expect(written);
            assert_eq!(serde_json::to_value(time).expect("JSON"), shown);
        }
        assert!(serde_json::from_value::<Moment>(json!(5)).is_err());
    }

    #[test]
    fn an_incomplete_row_is_no_error() {
        let row = r#"{"id":"9b2f0c1e-8a55-5c1e-9d3e-0a1b2c3d4e5f","user_id":"11111111-1111-4111-8111-111111111111",
            "channel":null,"role":null,"content":null,"created_at":"2026-11-24T03:05:00+00:00"}"#;
        let row: MessageResponse = serde_json::from_str(row).expect("a row");
        assert_eq!(serde_json::to_value(&row).expect("JSON")["content"], Value::Null);
    }

    #[test]
    fn a_row_without_the_newer_columns_is_shown_as_it_always_was() {
        let older = r#"{"id":"9b2f0c1e-8a55-5c1e-9d3e-0a1b2c3d4e5f","user_id":"11111111-1111-4111-8111-111111111111","channel":"whatsapp","role":"user","content":null,"created_at":"2026-11-24T03:05:00Z""#;
        let newer: String =
            MessageResponse::COLUMNS.split(',').skip(6).map(|name| format!(",\"{name}\":null")).collect();
        for row in [format!("{older}}}"), format!("{older}{newer}}}")] {
            let row: MessageResponse = serde_json::from_str(&row).expect("a row");
            assert_eq!(serde_json::to_string(&row).expect("JSON"), format!("{older}}}"));
        }
    }

    #[test]
    fn every_column_is_shown_in_its_order_and_nothing_else() {
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
    fn what_other_programs_wrote_into_the_table_is_read_as_it_is() {
        let role: Role = serde_json::from_str("\"system\"").expect("a role");
        let channel: Channel = serde_json::from_str("\"web\"").expect("a channel");
        assert_eq!(serde_json::to_string(&(role, channel)).expect("JSON"), r#"["system","web"]"#);
    }
}
