//! The conversation so far, from the table `messages`.

use std::fmt;

use serde::Deserialize;
use serde_json::json;
use shared::supabase::rows::Role;
use shared::supabase::{Caller, Query, Supabase};
use uuid::Uuid;

use super::limits::DayUsage;
use super::model::ChatRole;
use crate::history::row_id;
use crate::incoming::Incoming;
use crate::users::{self, LookupError};

/// Stands for what the model is not shown.
pub(super) const OMITTED: &str = "[…]";

/// What was said in one message.
#[derive(Clone, Eq, PartialEq)]
pub struct Said {
    /// The id of its row.
    pub id: Uuid,
    /// The user, or the business.
    pub by: ChatRole,
    /// The text, see [`words`]. Personal data.
    pub text: String,
    /// Meta's ids of it.
    pub wamids: Vec<String>,
    /// Meta's id of the message that it quotes.
    pub quotes: Option<String>,
}

impl fmt::Debug for Said {
    /// Omits the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Said").field("id", &self.id).field("by", &self.by).finish_non_exhaustive()
    }
}

impl From<&Incoming> for Said {
    fn from(message: &Incoming) -> Self {
        Self {
            id: row_id(&message.key, &Role::User),
            by: ChatRole::User,
            text: words(Some(&message.kind), &message.content.text(&message.kind)),
            wamids: message.key.wamid().map(|wamid| wamid.as_str().to_owned()).into_iter().collect(),
            quotes: message.quotes.as_ref().map(|wamid| wamid.as_str().to_owned()),
        }
    }
}

/// Returns the text of a message of this type for a model: its content, and in brackets what that leaves unclear.
#[must_use]
pub fn words(kind: Option<&str>, content: &str) -> String {
    match kind {
        // A placeholder says it already.
        _ if content.starts_with('[') => content.to_owned(),
        Some(
            kind @ ("image" | "video" | "audio" | "document" | "sticker" | "location" | "contacts" | "order"
            | "reaction" | "edit"),
        ) => format!("[{kind}] {content}"),
        _ => content.to_owned(),
    }
}

/// Reads users' conversations, and counts answers.
pub trait Conversations: Send + Sync {
    /// Returns the last messages of a user's conversation, at most so many and at least one, oldest first: what the user
    /// said and was told, and nothing of anyone else.
    ///
    /// # Errors
    /// See [`LookupError`].
    fn latest(
        &self,
        user_id: Uuid,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Said>, LookupError>> + Send;

    /// Returns what this day's answers come to so far.
    ///
    /// # Errors
    /// See [`LookupError`].
    fn usage(&self, user_id: Uuid) -> impl Future<Output = Result<DayUsage, LookupError>> + Send;
}

/// The conversations in a Supabase project.
#[derive(Clone)]
pub struct StoredConversations {
    supabase: Supabase,
}

impl StoredConversations {
    /// Builds it over `supabase`, with its own key.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase }
    }
}

/// A row of `messages`, which another program may have left incomplete.
#[derive(Deserialize)]
struct Row {
    id: Uuid,
    role: Option<Role>,
    content: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    wamids: Option<Vec<String>>,
    /// Set if its author deleted it for everyone.
    revoked_at: Option<String>,
    quotes: Option<String>,
    /// The origin of a reply, see [`Origin`](crate::details::Origin).
    source: Option<String>,
}

/// The columns of a [`Row`].
const COLUMNS: &str =
    "id,role,content,type,wamids,revoked_at,quotes:payload->quoted->>id,source:payload->llm->>source";

impl Row {
    fn said(self) -> Option<Said> {
        let by = match self.role? {
            Role::User => ChatRole::User,
            Role::Assistant => ChatRole::Assistant,
            Role::Other(_) => return None,
        };
        let content =
            self.content.filter(|content| !content.trim().is_empty() && self.revoked_at.is_none())?;
        let text = match self.source.as_deref() {
            // Not the model's words, which it would repeat.
            Some("fallback" | "limit") => OMITTED.to_owned(),
            _ => words(self.kind.as_deref(), &content),
        };
        Some(Said { id: self.id, by, text, wamids: self.wamids.unwrap_or_default(), quotes: self.quotes })
    }
}

impl Conversations for StoredConversations {
    async fn latest(&self, user_id: Uuid, most: usize) -> Result<Vec<Said>, LookupError> {
        let request = self.supabase.from("messages").select(COLUMNS).eq("user_id", user_id.to_string());
        // The order of the index `messages_user_id_created_at_id_idx`.
        let request = request.order("created_at.desc,id.desc").limit(most.max(1));
        let query = Query { request, caller: Caller::Key, prefer: None, timeout: users::TIMEOUT };
        let body = self.supabase.run(query).await?;
        let rows: Vec<Row> = serde_json::from_slice(&body).map_err(|_| LookupError::Unreadable)?;
        Ok(rows.into_iter().rev().filter_map(Row::said).collect())
    }

    async fn usage(&self, user_id: Uuid) -> Result<DayUsage, LookupError> {
        let request = self.supabase.from("rpc/llm_usage").rpc(json!({"user_id": user_id}).to_string());
        let query = Query { request, caller: Caller::Key, prefer: None, timeout: users::TIMEOUT };
        serde_json::from_slice(&self.supabase.run(query).await?).map_err(|_| LookupError::Unreadable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named_where_the_content_does_not_say_it() {
        for (kind, content, text) in [
            (Some("text"), "hello", "hello"),
            (None, "of an older program", "of an older program"),
            (Some("image"), "my cat", "[image] my cat"),
            (Some("image"), "[image]", "[image]"),
            (Some("document"), "invoice.pdf", "[document] invoice.pdf"),
            (Some("interactive"), "Yes", "Yes"),
            (Some("button"), "No", "No"),
            (Some("reaction"), "👍", "[reaction] 👍"),
            (Some("edit"), "hello again", "[edit] hello again"),
            (Some("revoke"), "[deleted message]", "[deleted message]"),
        ] {
            assert_eq!(words(kind, content), text, "{kind:?}");
        }
    }

    #[test]
    fn rows_that_are_no_part_of_the_conversation_are_left_out() {
        let row = |role: &str, content: Option<&str>, revoked_at: Option<&str>| Row {
            id: Uuid::nil(),
            role: Some(role.to_owned().into()),
            content: content.map(str::to_owned),
            kind: Some("text".to_owned()),
            wamids: None,
            revoked_at: revoked_at.map(str::to_owned),
            quotes: None,
            source: None,
        };
        let by = |row: Row| row.said().map(|said| said.by);
        assert_eq!(by(row("user", Some("hi"), None)), Some(ChatRole::User));
        assert_eq!(by(row("assistant", Some("hi"), None)), Some(ChatRole::Assistant));
        for (source, text) in [("model", "hi"), ("fallback", "[…]"), ("limit", "[…]")] {
            let reply = Row { source: Some(source.to_owned()), ..row("assistant", Some("hi"), None) };
            assert_eq!(reply.said().map(|said| said.text).as_deref(), Some(text), "{source}");
        }
        for left_out in [
            row("system", Some("hi"), None),
            row("user", None, None),
            row("user", Some(" "), None),
            row("user", Some("hi"), Some("2026-11-28T12:00:00+00:00")),
        ] {
            assert_eq!(by(left_out), None);
        }
    }
}
