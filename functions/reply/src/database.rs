//! What `reply` asks of the database: Supabase, or a model of it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::deadline::Deadline;
use shared::envelope::Exchange;
use shared::supabase::{Supabase, SupabaseError};
use shared::wamid::MessageKey;
use uuid::Uuid;

use crate::events::{self, ChangeResult};
use crate::graph::PhoneNumberId;
use crate::history::{History, RecordError};
use crate::incoming::{Event, Incoming, Status};
use crate::statuses::{self, Applied};
use crate::users::{Author, Linked, LookupError, Missing, Users};

/// Users and their history.
pub trait Database: Send + Sync {
    /// The user who linked this sender; `None` when it is unlinked.
    ///
    /// # Errors
    /// When the database does not say.
    fn find_user(&self, author: &Author) -> impl Future<Output = Result<Option<Linked>, LookupError>> + Send;

    /// Whether the rows of this message have been written: then it was answered, too.
    ///
    /// # Errors
    /// When the database does not say.
    fn is_recorded(&self, key: &MessageKey) -> impl Future<Output = Result<bool, LookupError>> + Send;

    /// Whether this user was answered from this business number before.
    ///
    /// # Errors
    /// When the database does not say.
    fn has_answers_from(
        &self,
        user_id: Uuid,
        number: &PhoneNumberId,
    ) -> impl Future<Output = Result<bool, LookupError>> + Send;

    /// Writes the rows of an exchange, all of them or none. Rows that exist are left as they are.
    ///
    /// # Errors
    /// When it is not known that they were written. Writing them again is safe.
    fn record(
        &self,
        user_id: Uuid,
        exchange: &Exchange,
    ) -> impl Future<Output = Result<(), RecordError>> + Send;

    /// Writes the row of a message that the business wrote itself. A row that exists is left as it is.
    ///
    /// # Errors
    /// When it is not known that it was written. Writing it again is safe.
    fn record_echo(
        &self,
        user_id: Uuid,
        echo: &Incoming,
    ) -> impl Future<Output = Result<(), RecordError>> + Send;

    /// Links what is known since a message that was sent `at`, if the link is still the one that was found. Whether it
    /// was linked.
    ///
    /// # Errors
    /// When it is not known that it was written. Nothing depends on it.
    fn learn(
        &self,
        user_id: Uuid,
        missing: Missing,
        author: &Author,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Result<bool, RecordError>> + Send;

    /// Adds a status of a message that was sent.
    ///
    /// # Errors
    /// When it is not known that it was written. Writing it again is safe.
    fn record_status(&self, status: &Status) -> impl Future<Output = Result<Applied, RecordError>> + Send;

    /// Keeps an event and, the first time, gives linked users the number or user id that it says they have now. What
    /// became of each of its changes.
    ///
    /// # Errors
    /// When it is not known that it was written. Writing it again is safe.
    fn keep_event(
        &self,
        event: &Event,
    ) -> impl Future<Output = Result<Vec<ChangeResult>, RecordError>> + Send;
}

/// Asks the database within `most` and `deadline`. Beyond them it is as if the database had not answered in time.
pub(crate) async fn within<T, E: From<SupabaseError>>(
    deadline: Deadline,
    most: Duration,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    deadline.run(most, asked).await.unwrap_or_else(|_| Err(SupabaseError::Timeout.into()))
}

/// A Supabase project.
#[derive(Clone)]
pub struct Project {
    users: Users,
    history: History,
    supabase: Supabase,
}

impl Project {
    /// Uses `supabase` with its own key.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        let (users, history) = (Users::new(supabase.clone()), History::new(supabase.clone()));
        Self { users, history, supabase }
    }
}

impl Database for Project {
    async fn find_user(&self, author: &Author) -> Result<Option<Linked>, LookupError> {
        self.users.find(author).await
    }

    async fn is_recorded(&self, key: &MessageKey) -> Result<bool, LookupError> {
        self.history.is_recorded(key).await
    }

    async fn has_answers_from(&self, user_id: Uuid, number: &PhoneNumberId) -> Result<bool, LookupError> {
        self.history.has_answers_from(user_id, number).await
    }

    async fn record(&self, user_id: Uuid, exchange: &Exchange) -> Result<(), RecordError> {
        self.history.record(user_id, exchange).await
    }

    async fn record_echo(&self, user_id: Uuid, echo: &Incoming) -> Result<(), RecordError> {
        self.history.record_echo(user_id, echo).await
    }

    async fn learn(
        &self,
        user_id: Uuid,
        missing: Missing,
        author: &Author,
        at: DateTime<Utc>,
    ) -> Result<bool, RecordError> {
        Ok(self.users.learn(user_id, missing, author, at).await?)
    }

    async fn record_status(&self, status: &Status) -> Result<Applied, RecordError> {
        statuses::record(&self.supabase, status).await
    }

    async fn keep_event(&self, event: &Event) -> Result<Vec<ChangeResult>, RecordError> {
        events::keep(&self.supabase, event).await
    }
}
