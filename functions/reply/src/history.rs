//! The two rows of a message and its reply.

use std::collections::HashSet;
use std::time::Duration;

use chrono::TimeDelta;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use shared::meta::envelope::{Asked, Exchange, Line};
use shared::meta::lenient::storable_text;
use shared::meta::wamid::MessageKey;
use shared::supabase::rows::{Channel, MessageCreate, Role};
use shared::supabase::{Caller, Query, Supabase, SupabaseError};
use uuid::Uuid;

use crate::graph::PhoneNumberId;
use crate::incoming::Incoming;
use crate::users::{self, LookupError};

/// The timeout of an insert.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Existing rows are left unchanged, so that an insert is idempotent.
const PREFER: &str = "resolution=ignore-duplicates,return=minimal";

/// The namespace of row ids. A different one would duplicate the rows of every redelivered message.
const ROW_IDS: Uuid = Uuid::from_u128(0x8d1f_6a52_3c0b_4f5e_9b7a_2e64_c1d0_57a3);

/// A conversation's rows: the table `messages`.
#[derive(Clone)]
pub struct History {
    supabase: Supabase,
}

/// Rows that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The request failed. It may have taken effect anyway; a retry is safe.
    #[error(transparent)]
    Supabase(#[from] SupabaseError),
    /// The lookup of their user failed.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The rows could not be serialized as JSON.
    #[error("the rows cannot be serialized as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl RecordError {
    /// Returns whether the rows' user was deleted concurrently. `user_id` is the only foreign key of a message's rows.
    #[must_use]
    pub fn is_user_deleted(&self) -> bool {
        matches!(self, Self::Supabase(cause) if cause.is_missing_reference())
    }

    /// Returns whether the rows themselves are invalid, so that neither a retry nor an operator can repair it.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Supabase(cause) => cause.is_about_values(),
            Self::Lookup(_) => false,
            Self::Json(_) => true,
        }
    }
}

/// Returns the rows of an exchange, in the order of the conversation: those of the messages, and that of the reply. All
/// have the same fields, as one insert requires.
#[must_use]
pub fn rows(user_id: Uuid, exchange: &Exchange) -> Vec<MessageCreate> {
    let earlier = exchange.earlier.iter().map(|earlier| (&earlier.key, &earlier.asked));
    let asked = earlier.chain([(&exchange.key, &exchange.asked)]);
    let mut rows: Vec<_> =
        asked.clone().map(|(key, asked)| asked_row(user_id, exchange, key, asked)).collect();
    if let Some(answer) = &exchange.answer {
        // After the questions, even when Meta's clock is ahead of ours.
        let asked_at = asked.map(|(_, asked)| asked.question.at).max();
        let answered_at = asked_at.map_or(answer.at, |at| answer.at.max(at + TimeDelta::microseconds(1)));
        rows.push(MessageCreate {
            created_at: answered_at,
            kind: Some("text".to_owned()),
            payload: exchange.answer_payload.clone().and_then(|payload| RawValue::from_string(payload).ok()),
            wamids: Some(exchange.answer_wamids.clone()).filter(|wamids| !wamids.is_empty()),
            ..row(user_id, exchange, &exchange.key, Role::Assistant, answer)
        });
    }
    rows
}

/// Returns the row of a business echo. Its payload has the message as Meta sent it, unlike that of a reply.
#[must_use]
pub fn echo_row(user_id: Uuid, echo: &Incoming) -> MessageCreate {
    let exchange = Exchange {
        earlier: Vec::new(),
        key: echo.key.clone(),
        phone_number_id: echo.phone_number_id.as_ref().map(ToString::to_string),
        asked: echo.asked(),
        answer: None,
        answer_payload: None,
        answer_wamids: Vec::new(),
        unanswered_because: None,
    };
    let role = Role::Assistant;
    MessageCreate {
        id: row_id(&echo.key, &role),
        role,
        ..asked_row(user_id, &exchange, &echo.key, &exchange.asked)
    }
}

/// Returns the row of a user's message.
fn asked_row(user_id: Uuid, exchange: &Exchange, key: &MessageKey, asked: &Asked) -> MessageCreate {
    MessageCreate {
        unanswered_because: exchange.unanswered_because.clone(),
        kind: asked.kind.as_deref().map(storable_text),
        payload: asked.payload.clone().and_then(|payload| RawValue::from_string(payload).ok()),
        wamids: key.wamid().cloned().map(|wamid| vec![wamid]),
        refers_to: asked.refers_to.clone(),
        ..row(user_id, exchange, key, Role::User, &asked.question)
    }
}

fn row(user_id: Uuid, exchange: &Exchange, key: &MessageKey, role: Role, line: &Line) -> MessageCreate {
    MessageCreate {
        id: row_id(key, &role),
        user_id,
        channel: Channel::Whatsapp,
        role,
        content: storable_text(&line.content),
        created_at: line.at,
        unanswered_because: None,
        kind: None,
        payload: None,
        phone_number_id: exchange.phone_number_id.as_deref().map(storable_text),
        wamids: None,
        refers_to: None,
    }
}

/// Returns the id of a row: a UUIDv5 of the message's key and the role.
#[must_use]
pub fn row_id(key: &MessageKey, role: &Role) -> Uuid {
    Uuid::new_v5(&ROW_IDS, format!("{}\n{}", key.as_str(), role.as_str()).as_bytes())
}

/// Returns the id of a text in answer to a message that is no reply of the conversation and has no row: the registration
/// text, a text of linking. Its status must not count as the reply's.
#[must_use]
pub fn notice_id(key: &MessageKey) -> Uuid {
    Uuid::new_v5(&row_id(key, &Role::Assistant), b"notice")
}

impl History {
    /// Builds a history in `supabase`, with its own key.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { supabase }
    }

    /// Returns which of these rows of users' messages are written. The row of a message exists whenever its reply's does.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn recorded(&self, message_ids: &[Uuid]) -> Result<HashSet<Uuid>, LookupError> {
        #[derive(Deserialize)]
        struct Row {
            id: Uuid,
        }
        let request = users::among(self.supabase.from("messages").select("id"), "id", message_ids);
        let query = Query { request, caller: Caller::Key, prefer: None, timeout: users::TIMEOUT };
        let body = self.supabase.run(query).await?;
        let rows: Vec<Row> = serde_json::from_slice(&body).map_err(|_| LookupError::Unreadable)?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Returns whether a user was answered from this business number before.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn has_answers_from(&self, user_id: Uuid, number: &PhoneNumberId) -> Result<bool, LookupError> {
        let request = self.supabase.from("messages").select("id").eq("user_id", user_id.to_string());
        let request = request.eq("role", Role::Assistant.as_str()).eq("phone_number_id", number.to_string());
        let request = request.limit(1);
        let query = Query { request, caller: Caller::Key, prefer: None, timeout: users::TIMEOUT };
        let body = self.supabase.run(query).await?;
        let rows: Vec<IgnoredAny> = serde_json::from_slice(&body).map_err(|_| LookupError::Unreadable)?;
        Ok(!rows.is_empty())
    }

    /// Writes an exchange's rows in one insert: all of them, or none.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub async fn record(&self, user_id: Uuid, exchange: &Exchange) -> Result<(), RecordError> {
        self.insert(&rows(user_id, exchange)).await
    }

    /// Writes the row of a business echo.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub async fn record_echo(&self, user_id: Uuid, echo: &Incoming) -> Result<(), RecordError> {
        self.insert(&[echo_row(user_id, echo)]).await
    }

    async fn insert(&self, rows: &[MessageCreate]) -> Result<(), RecordError> {
        let rows = serde_json::to_string(rows)?;
        let request = self.supabase.from("messages").insert(rows).on_conflict("id");
        let query = Query { request, caller: Caller::Key, prefer: Some(PREFER), timeout: TIMEOUT };
        self.supabase.run(query).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use shared::meta::wamid::Wamid;

    use super::*;

    fn exchange(answered_at: DateTime<Utc>) -> Exchange {
        let line = |content: &str, at| Line { content: content.to_owned(), at };
        Exchange {
            earlier: Vec::new(),
            key: "wamid.1".into(),
            phone_number_id: Some("106540352242922".to_owned()),
            asked: Asked {
                question: line("hi\0", DateTime::from_timestamp_nanos(1_000_000_000)),
                kind: Some("text".to_owned()),
                refers_to: None,
                payload: Some(r#"{"raw":{}}"#.to_owned()),
            },
            answer: Some(line("hi", answered_at)),
            answer_payload: None,
            answer_wamids: vec![Wamid::parse("wamid.2").expect("a wamid")],
            unanswered_because: None,
        }
    }

    fn rows_at(answered_at: DateTime<Utc>) -> Vec<MessageCreate> {
        rows(Uuid::nil(), &exchange(answered_at))
    }

    #[test]
    fn the_reply_is_after_the_message_despite_clock_skew() {
        let rows = rows_at(DateTime::from_timestamp_nanos(0));
        assert_eq!(rows[1].created_at - rows[0].created_at, TimeDelta::microseconds(1));
        let late = DateTime::from_timestamp_nanos(9_000_000_000);
        assert_eq!(rows_at(late)[1].created_at, late);
    }

    #[test]
    fn row_ids_depend_only_on_wamid_and_role_and_are_stable() {
        let rows = rows_at(DateTime::from_timestamp_nanos(0));
        let again = rows_at(DateTime::from_timestamp_nanos(5));
        assert_eq!((rows[0].id, rows[1].id), (again[0].id, again[1].id));
        assert_ne!(rows[0].id, rows[1].id);
        // A literal, because rows in production have ids of this namespace.
        assert_eq!(rows[0].id.to_string(), "3a40fda8-9cb8-50a3-b8bc-f338e17ce5db");
    }

    #[test]
    fn a_character_that_postgresql_cannot_store_is_replaced() {
        assert_eq!(rows_at(Utc::now())[0].content, "hi\u{fffd}");
    }

    #[test]
    fn debug_output_has_the_row_id_and_no_personal_data() {
        let rows = rows_at(Utc::now());
        let shown = format!("{:?}", rows[0]);
        assert!(shown.contains(&rows[0].id.to_string()) && !shown.contains("hi"), "{shown}");
    }

    #[test]
    fn a_message_without_an_answer_is_one_row_with_the_reason() {
        let unanswered = Exchange {
            answer: None,
            unanswered_because: Some("code 131047".to_owned()),
            ..exchange(Utc::now())
        };
        let rows = rows(Uuid::nil(), &unanswered);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].unanswered_because.as_deref(), Some("code 131047"));
    }
}
