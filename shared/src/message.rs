//! Rows of the table `messages`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Who wrote a message.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
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

/// Where a message was exchanged.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// WhatsApp, the only channel that this product writes.
    Whatsapp,
    /// A channel that another program wrote into the table.
    #[serde(untagged)]
    Other(String),
}

/// A row to be written.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
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
    /// Why a user's message has no answer, when Meta refused it for good. Left out where there is nothing
    /// to say, so that a table without the column takes the row too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanswered_because: Option<String>,
}

/// A row as its owner sees it. A row that another program left incomplete is shown as it is, with `null`.
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
    pub created_at: DateTime<Utc>,
}

impl MessageResponse {
    /// The columns that make one, as PostgREST's `select` wants them.
    pub const COLUMNS: &str = "id,user_id,channel,role,content,created_at";
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
    fn an_incomplete_row_is_no_error() {
        let row = r#"{"id":"9b2f0c1e-8a55-5c1e-9d3e-0a1b2c3d4e5f","user_id":"11111111-1111-4111-8111-111111111111",
            "channel":null,"role":null,"content":null,"created_at":"2026-11-24T03:05:00+00:00"}"#;
        let row: MessageResponse = serde_json::from_str(row).expect("a row");
        assert_eq!(serde_json::to_value(&row).expect("JSON")["content"], serde_json::Value::Null);
    }

    #[test]
    fn what_other_programs_wrote_into_the_table_is_read_as_it_is() {
        let role: Role = serde_json::from_str("\"system\"").expect("a role");
        let channel: Channel = serde_json::from_str("\"web\"").expect("a channel");
        assert_eq!(serde_json::to_string(&(role, channel)).expect("JSON"), r#"["system","web"]"#);
    }
}
