//! Asking Supabase for a page of the caller's history.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use shared::message::MessageResponse;
use shared::supabase::{Answer, Caller, Query, Supabase, SupabaseError};
use tokio::time::Instant;

use crate::cursor::{Cursor, CursorError};
use crate::page::Page;
use crate::rows::{self, MAX_BODY, MAX_READ, Rows, Unreadable};

/// How long Supabase may take, for all calls of a request.
const TIMEOUT: Duration = Duration::from_secs(8);

/// What is shown as the content of a row that is too large for an answer by itself. What people write on WhatsApp is
/// not: 65,536 characters, at 7 bytes each at most. Another program's may be.
const TOO_LARGE: &str = "[message too large]";

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
    ) -> impl Future<Output = Result<PageRows, HistoryError>> + Send;
}

/// The table `messages`, as its owner sees it.
#[derive(Clone)]
pub struct History {
    supabase: Supabase,
    /// Rows of the largest answer so far: the server's cap on rows (`max-rows`) is not below.
    most_rows: Arc<AtomicUsize>,
}

/// A page of it, newest first.
#[derive(Debug)]
pub struct PageRows {
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
    /// The cursor holds a text that is no time.
    #[error(transparent)]
    Before(#[from] CursorError),
    /// The answer is not what was asked for.
    #[error("Supabase's answer cannot be read")]
    Unreadable,
}

impl From<Unreadable> for HistoryError {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

impl History {
    /// Reads from `supabase`, with its own key and the caller's token.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase, most_rows: Arc::default() }
    }

    /// Asks for `limit` rows of `page`.
    async fn ask(
        &self,
        token: &SecretString,
        page: &Page,
        columns: &str,
        limit: usize,
        deadline: Instant,
    ) -> Result<Answer, HistoryError> {
        let request = self.supabase.from("messages").select(columns);
        let mut request = request.order("created_at.desc,id.desc").limit(limit);
        if let Some(before) = &page.before {
            request = before.restrict(request);
        }
        let request = page.filter.restrict(request);
        let timeout = deadline.saturating_duration_since(Instant::now());
        let query = Query { request, caller: Caller::User(token), prefer: None, timeout };
        self.supabase.run_up_to(MAX_READ, query).await.map_err(|error| match &page.before {
            Some(before) if before.may_be_none() && error.is_about_values() => CursorError.into(),
            _ => error.into(),
        })
    }

    /// The rows of a page whose first is too large for an answer: that one, without its content.
    async fn first_without_content(
        &self,
        token: &SecretString,
        page: &Page,
        deadline: Instant,
    ) -> Result<PageRows, HistoryError> {
        let columns = MessageResponse::COLUMNS.replace(",content,", ",");
        let rows = rows::read(&self.ask(token, page, &columns, 2, deadline).await?, MAX_BODY)?;
        let more = rows.is_cut || rows.fitting.len() > 1;
        let first = rows.fitting.into_iter().next().ok_or(HistoryError::Unreadable)?;
        let content = Some(TOO_LARGE.to_owned());
        Ok(PageRows { messages: vec![MessageResponse { content, ..first }], more })
    }

    /// Whether there are rows after the last of a page that has fewer than were asked for. It may have, and not be the
    /// last, where the server has a lower cap on rows.
    async fn goes_on(
        &self,
        token: &SecretString,
        page: &Page,
        rows: &[MessageResponse],
        deadline: Instant,
    ) -> bool {
        let most_rows = self.most_rows.fetch_max(rows.len(), Ordering::Relaxed);
        let Some(last) = rows.last().filter(|_| rows.len() >= most_rows) else { return false };
        let next = Page { before: Some(Cursor::after(last)), ..page.clone() };
        match self.ask(token, &next, "id", 1, deadline).await {
            Ok(answer) => answer.body.trim_ascii() != b"[]",
            // Whoever follows the link will be told.
            Err(_) => true,
        }
    }
}

impl Pages for History {
    async fn page(&self, token: &SecretString, page: &Page) -> Result<PageRows, HistoryError> {
        let deadline = Instant::now() + TIMEOUT;
        // One more than is shown: it tells whether another page follows.
        let asked = page.limit + 1;
        let answer = self.ask(token, page, MessageResponse::COLUMNS, asked, deadline).await?;
        let Rows { fitting: mut messages, is_cut } = rows::read(&answer, MAX_BODY)?;
        drop(answer);
        if messages.is_empty() && is_cut {
            return self.first_without_content(token, page, deadline).await;
        }
        let more = if is_cut || messages.len() >= asked {
            self.most_rows.fetch_max(messages.len(), Ordering::Relaxed);
            true
        } else {
            self.goes_on(token, page, &messages, deadline).await
        };
        messages.truncate(page.limit);
        Ok(PageRows { messages, more })
    }
}
