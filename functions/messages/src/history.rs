//! Reads a page of the caller's history from Supabase.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use shared::supabase::rows::MessageResponse;
use shared::supabase::{Answer, Caller, Query, Supabase, SupabaseError};
use tokio::time::Instant;

use crate::cursor::{Cursor, CursorError};
use crate::page::Page;
use crate::rows::{self, MAX_BODY, MAX_READ, Rows, Unreadable};

/// The timeout of all calls of a request to Supabase together.
const TIMEOUT: Duration = Duration::from_secs(8);

/// The content shown for a single row that is too large for a response. A WhatsApp message is not that large (65,536
/// characters of at most 7 bytes); a row of another program may be.
const TOO_LARGE: &str = "[message too large]";

/// The source of pages: Supabase, or a model of it.
pub trait Pages: Send + Sync {
    /// Reads a page of the rows that row-level security shows to the owner of the token.
    ///
    /// # Errors
    /// See [`HistoryError`].
    fn page(
        &self,
        token: &SecretString,
        page: &Page,
    ) -> impl Future<Output = Result<PageRows, HistoryError>> + Send;
}

/// The table `messages`, as the owner of a token sees it.
#[derive(Clone)]
pub struct History {
    supabase: Supabase,
    /// The number of rows of the largest response so far: a lower bound of the server's limit (`max-rows`).
    most_rows: Arc<AtomicUsize>,
}

/// A page of the history, newest first.
#[derive(Debug)]
pub struct PageRows {
    /// The messages.
    pub messages: Vec<MessageResponse>,
    /// Whether older messages follow.
    pub more: bool,
}

/// A page that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The request failed.
    #[error(transparent)]
    Supabase(#[from] SupabaseError),
    /// The time in the cursor is invalid.
    #[error(transparent)]
    Before(#[from] CursorError),
    /// The response is not an array of rows.
    #[error("the response of Supabase is not an array of rows")]
    Unreadable,
}

impl From<Unreadable> for HistoryError {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

impl History {
    /// Creates a source that reads from `supabase`, with its API key and the caller's token.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase, most_rows: Arc::default() }
    }

    /// Requests `limit` rows of `page`.
    async fn request(
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
            Some(before) if before.may_be_invalid() && error.is_about_values() => CursorError.into(),
            _ => error.into(),
        })
    }

    /// Reads the first row of a page without its content, because the row is too large for a response.
    async fn first_without_content(
        &self,
        token: &SecretString,
        page: &Page,
        deadline: Instant,
    ) -> Result<PageRows, HistoryError> {
        let columns = MessageResponse::COLUMNS.replace(",content,", ",");
        let rows = rows::read(&self.request(token, page, &columns, 2, deadline).await?, MAX_BODY)?;
        let more = rows.is_truncated || rows.fitting.len() > 1;
        let first = rows.fitting.into_iter().next().ok_or(HistoryError::Unreadable)?;
        let content = Some(TOO_LARGE.to_owned());
        Ok(PageRows { messages: vec![MessageResponse { content, ..first }], more })
    }

    /// Whether rows follow after a page with fewer rows than requested. Such a page is not always the last one: the
    /// server may have a lower limit on rows.
    async fn has_more(
        &self,
        token: &SecretString,
        page: &Page,
        rows: &[MessageResponse],
        deadline: Instant,
    ) -> bool {
        let most_rows = self.most_rows.fetch_max(rows.len(), Ordering::Relaxed);
        let Some(last) = rows.last().filter(|_| rows.len() >= most_rows) else { return false };
        let next = Page { before: Some(Cursor::after(last)), ..page.clone() };
        match self.request(token, &next, "id", 1, deadline).await {
            Ok(answer) => answer.body.trim_ascii() != b"[]",
            // The request for the next page will report the error.
            Err(_) => true,
        }
    }
}

impl Pages for History {
    async fn page(&self, token: &SecretString, page: &Page) -> Result<PageRows, HistoryError> {
        let deadline = Instant::now() + TIMEOUT;
        // One row more than is shown: its presence means that another page follows.
        let requested = page.limit + 1;
        let answer = self.request(token, page, MessageResponse::COLUMNS, requested, deadline).await?;
        let Rows { fitting: mut messages, is_truncated } = rows::read(&answer, MAX_BODY)?;
        drop(answer);
        if messages.is_empty() && is_truncated {
            return self.first_without_content(token, page, deadline).await;
        }
        let more = if is_truncated || messages.len() >= requested {
            self.most_rows.fetch_max(messages.len(), Ordering::Relaxed);
            true
        } else {
            self.has_more(token, page, &messages, deadline).await
        };
        messages.truncate(page.limit);
        Ok(PageRows { messages, more })
    }
}
