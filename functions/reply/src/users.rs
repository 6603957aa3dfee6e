//! Whose WhatsApp number it is.

use std::time::Duration;

use serde::Deserialize;
use shared::supabase::{Caller, Query, Supabase, SupabaseError};
use tracing::warn;
use uuid::Uuid;

use crate::incoming::Sender;

/// How long a look-up may take: the person is waiting.
pub const TIMEOUT: Duration = Duration::from_secs(2);

/// How many rows are read. A table of another program may have several of one user with the same number, and
/// a second owner must not stand behind them.
const ROWS: usize = 100;

/// Users and their linked numbers: the table `user_preferences`.
#[derive(Clone)]
pub struct Users {
    supabase: Supabase,
}

/// A lookup that gave no answer, which is not the same as nobody's number.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The request failed.
    #[error(transparent)]
    Supabase(#[from] SupabaseError),
    /// The answer is not what was asked for.
    #[error("the database's answer cannot be read")]
    Unreadable,
}

#[derive(Deserialize)]
struct Row {
    /// Another program's table may leave it empty: such a row links nothing.
    user_id: Option<Uuid>,
}

impl Users {
    /// Looks users up in `supabase`, with its own key.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase }
    }

    /// The user who linked this number; `None` when nobody did, or several did: to write one person's
    /// messages into another's history is worse than to write none.
    ///
    /// Meta sends digits, `user_preferences` holds E.164: both spellings are asked for.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn find(&self, sender: &Sender) -> Result<Option<Uuid>, LookupError> {
        let Sender::Phone(digits) = sender else { return Ok(None) };
        let spellings = [format!("+{digits}"), digits.clone()];
        let request = self
            .supabase
            .from("user_preferences")
            .select("user_id")
            .in_("whatsapp_phone", spellings)
            .limit(ROWS);
        let query = Query { request, caller: Caller::Key, prefer: None, timeout: TIMEOUT };
        let body = self.supabase.run(query).await?;
        let rows: Vec<Row> = serde_json::from_slice(&body).map_err(|_| LookupError::Unreadable)?;
        let mut owners = rows.iter().filter_map(|row| row.user_id);
        let Some(owner) = owners.next() else { return Ok(None) };
        // Behind so many rows there may be more, of somebody else.
        if rows.len() >= ROWS || owners.any(|other| other != owner) {
            warn!(counter = "ambiguous_numbers", user_id = %owner, "number linked by several users");
            return Ok(None);
        }
        Ok(Some(owner))
    }
}
