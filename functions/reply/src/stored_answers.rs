//! Replies that are stored before they are sent, so that a retry says the same words: the table `stored_answers`.
//!
//! Only for responders that may return another reply to the same question, and for replies in parts to several messages.
//! The database deletes a stored reply together with the insert of its rows.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::meta::lenient::storable_text;
use shared::supabase::{Caller, Query, Supabase};
use uuid::Uuid;

use crate::details::{self, LlmDetails};
use crate::users::{self, LookupError};

/// The timeout of storing a reply: the sender is waiting.
pub const TIMEOUT: Duration = users::TIMEOUT;

/// A stored reply.
#[derive(Clone, Deserialize, Eq, PartialEq)]
pub struct StoredAnswer {
    /// The id of the row of the turn's last message.
    pub message_id: Uuid,
    /// The number of messages in the turn.
    pub messages: usize,
    /// The text of the reply. Personal data.
    pub text: String,
    /// How it came about.
    #[serde(default, deserialize_with = "details::lenient")]
    pub details: Option<LlmDetails>,
}

impl std::fmt::Debug for StoredAnswer {
    /// Omits the text, which is personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredAnswer").field("message_id", &self.message_id).finish_non_exhaustive()
    }
}

/// Returns the replies stored for turns that end with one of these messages, by the ids of their rows.
///
/// # Errors
/// See [`LookupError`].
pub async fn find(supabase: &Supabase, message_ids: &[Uuid]) -> Result<Vec<StoredAnswer>, LookupError> {
    let request = supabase.from("stored_answers").select("message_id,messages,text,details");
    let request = users::among(request, "message_id", message_ids);
    let query = Query { request, caller: Caller::Key, prefer: None, timeout: users::TIMEOUT };
    serde_json::from_slice(&supabase.run(query).await?).map_err(|_| LookupError::Unreadable)
}

/// Stores a reply, in place of an earlier one to the same turn.
///
/// # Errors
/// When the database does not confirm it. A retry is safe.
pub async fn store(
    supabase: &Supabase,
    user_id: Option<Uuid>,
    answer: &StoredAnswer,
) -> Result<(), LookupError> {
    #[derive(Serialize)]
    struct Row<'a> {
        message_id: Uuid,
        user_id: Option<Uuid>,
        messages: usize,
        text: String,
        details: Option<&'a LlmDetails>,
    }
    let StoredAnswer { message_id, messages, text, details } = answer;
    let (text, details) = (storable_text(text), details.as_ref());
    let row = Row { message_id: *message_id, user_id, messages: *messages, text, details };
    let row = serde_json::to_string(&[row]).map_err(|_| LookupError::Unreadable)?;
    let request = supabase.from("stored_answers").insert(row).on_conflict("message_id");
    let prefer = Some("resolution=merge-duplicates,return=minimal");
    supabase.run(Query { request, caller: Caller::Key, prefer, timeout: TIMEOUT }).await?;
    Ok(())
}
