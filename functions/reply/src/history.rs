//! The two rows of a message and its answer.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::message::{Channel, MessageCreate, Role};
use shared::supabase::{Caller, Query, Supabase, SupabaseError};
use uuid::Uuid;

/// How long an insert may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Rows that exist already are left as they are: writing twice is writing once.
const PREFER: &str = "resolution=ignore-duplicates,return=minimal";

/// The namespace of row ids. Changing it would write every redelivered message a second time.
const ROW_IDS: Uuid = Uuid::from_u128(0x8d1f_6a52_3c0b_4f5e_9b7a_2e64_c1d0_57a3);

/// A conversation's rows: the table `messages`.
#[derive(Clone)]
pub struct History {
    supabase: Supabase,
}

/// Rows that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The request failed. It may have taken effect all the same: writing again is safe.
    #[error(transparent)]
    Supabase(#[from] SupabaseError),
    /// The rows could not be written as JSON.
    #[error("the rows cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A message and its answer, of one user.
#[derive(Clone)]
pub struct Exchange<'a> {
    /// Whose history it belongs to.
    pub user_id: Uuid,
    /// Meta's id of the message, from which both rows' ids are derived.
    pub wamid: &'a str,
    /// What was asked, and when.
    pub question: (&'a str, DateTime<Utc>),
    /// What was answered, and when; `None` when there was nothing to say.
    pub answer: Option<(&'a str, DateTime<Utc>)>,
}

impl Exchange<'_> {
    /// The rows, in the order of the conversation.
    #[must_use]
    pub fn rows(&self) -> Vec<MessageCreate> {
        let row = |role: Role, content: &str, created_at| MessageCreate {
            id: row_id(self.wamid, &role),
            user_id: self.user_id,
            channel: Channel::Whatsapp,
            role,
            // PostgreSQL's text cannot hold it, and one such character would refuse the row for ever.
            content: content.replace('\0', "\u{fffd}"),
            created_at,
        };
        let (question, asked_at) = self.question;
        let mut rows = vec![row(Role::User, question, asked_at)];
        if let Some((answer, answered_at)) = self.answer {
            // After the question, even when Meta's clock is ahead of ours.
            let answered_at = answered_at.max(asked_at + TimeDelta::microseconds(1));
            rows.push(row(Role::Assistant, answer, answered_at));
        }
        rows
    }
}

/// The id of a row: a UUIDv5 of the wamid and the role.
#[must_use]
pub fn row_id(wamid: &str, role: &Role) -> Uuid {
    Uuid::new_v5(&ROW_IDS, format!("{wamid}\n{}", role.as_str()).as_bytes())
}

impl History {
    /// Writes to `supabase`, with its own key.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase }
    }

    /// Writes an exchange's rows in one insert: all of them, or none.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub async fn record(&self, exchange: &Exchange<'_>) -> Result<(), RecordError> {
        let rows = serde_json::to_string(&exchange.rows())?;
        let request = self.supabase.from("messages").insert(rows).on_conflict("id");
        let query = Query { request, caller: Caller::Key, prefer: Some(PREFER), timeout: TIMEOUT };
        self.supabase.run(query).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange<'a>(answered_at: DateTime<Utc>) -> Exchange<'a> {
        Exchange {
            user_id: Uuid::nil(),
            wamid: "wamid.1",
            question: ("hi\0", DateTime::from_timestamp_nanos(1_000_000_000)),
            answer: Some(("hi", answered_at)),
        }
    }

    #[test]
    fn the_answer_comes_after_the_question_whatever_the_clocks_say() {
        let early = DateTime::from_timestamp_nanos(0);
        let rows = exchange(early).rows();
        assert_eq!(rows[1].created_at - rows[0].created_at, TimeDelta::microseconds(1));
        let late = DateTime::from_timestamp_nanos(9_000_000_000);
        assert_eq!(exchange(late).rows()[1].created_at, late);
    }

    #[test]
    fn ids_depend_on_the_wamid_and_the_role_alone_and_never_change() {
        let rows = exchange(DateTime::from_timestamp_nanos(0)).rows();
        let again = exchange(DateTime::from_timestamp_nanos(5)).rows();
        assert_eq!((rows[0].id, rows[1].id), (again[0].id, again[1].id));
        assert_ne!(rows[0].id, rows[1].id);
        // Written down, because rows in production tables carry it.
        assert_eq!(rows[0].id.to_string(), "3a40fda8-9cb8-50a3-b8bc-f338e17ce5db");
    }

    #[test]
    fn a_character_that_postgresql_cannot_hold_is_replaced() {
        assert_eq!(exchange(Utc::now()).rows()[0].content, "hi\u{fffd}");
    }
}
