//! Asking Supabase for a page of the caller's history.

use std::time::Duration;

use secrecy::SecretString;
use shared::message::MessageResponse;
use shared::supabase::{Caller, Query, Supabase, SupabaseError};

use crate::page::Page;

/// How long Supabase may take.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Where pages come from: Supabase, or a model of it.
pub trait Pages: Send + Sync {
    /// A page of what row-level security lets the token's owner see.
    ///
    /// # Errors
    /// See [`HistoryError`].
    fn page(
        &self,
        token: &SecretString,
        page: &Page,
    ) -> impl Future<Output = Result<Messages, HistoryError>> + Send;
}

/// The table `messages`, as its owner sees it.
#[derive(Clone)]
pub struct History {
    supabase: Supabase,
}

/// A page of it, newest first.
#[derive(Debug)]
pub struct Messages {
    /// The messages.
    pub messages: Vec<MessageResponse>,
    /// Whether older ones follow.
    pub more: bool,
}

/// A page that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The request failed.
    #[error(transparent)]
    Supabase(#[from] SupabaseError),
    /// The answer is not what was asked for.
    #[error("Supabase's answer cannot be read")]
    Unreadable,
}

impl History {
    /// Reads from `supabase`, with its own key and the caller's token.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase }
    }
}

impl Pages for History {
    async fn page(&self, token: &SecretString, page: &Page) -> Result<Messages, HistoryError> {
        let mut request = self
            .supabase
            .from("messages")
            .select(MessageResponse::COLUMNS)
            .order("created_at.desc,id.desc")
            // One more than is shown: it tells whether another page follows.
            .limit(page.limit + 1);
        if let Some(before) = &page.before {
            request = before.restrict(request);
        }
        let request = page.filter.restrict(request);
        let query = Query { request, caller: Caller::User(token), prefer: None, timeout: TIMEOUT };
        let body = self.supabase.run(query).await?;
        let mut messages: Vec<MessageResponse> =
            serde_json::from_slice(&body).map_err(|_| HistoryError::Unreadable)?;
        let more = messages.len() > page.limit;
        messages.truncate(page.limit);
        Ok(Messages { messages, more })
    }
}
