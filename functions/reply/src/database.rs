//! Operations on the database, implemented by Supabase and by a model of it.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::lambda::deadline::Deadline;
use shared::meta::envelope::Exchange;
use shared::meta::sender::PhoneNumber;
use shared::supabase::{Supabase, SupabaseError};
use uuid::Uuid;

use crate::events::{self, ChangeResult};
use crate::graph::PhoneNumberId;
use crate::history::{History, RecordError};
use crate::incoming::{Event, Incoming, Status};
use crate::links::{Claim, Claimed, Confirmed, Links, Tap};
use crate::statuses::{self, Applied, SentPart};
use crate::stored_answers::{self, StoredAnswer};
use crate::users::{Author, Linked, LookupError, Missing, Users};

/// Users and their history.
pub trait Database: Send + Sync {
    /// Returns the user linked with this sender; `None` when it is unlinked.
    ///
    /// # Errors
    /// When the lookup fails.
    fn find_user(&self, author: &Author) -> impl Future<Output = Result<Option<Linked>, LookupError>> + Send;

    /// Returns which of these rows of users' messages are written, which implies that the messages were answered.
    ///
    /// # Errors
    /// When the lookup fails.
    fn recorded(
        &self,
        message_ids: &[Uuid],
    ) -> impl Future<Output = Result<HashSet<Uuid>, LookupError>> + Send;

    /// Returns the parts of replies with these ids that were sent, according to their statuses.
    ///
    /// # Errors
    /// When the lookup fails.
    fn sent_parts(
        &self,
        answer_ids: &[Uuid],
    ) -> impl Future<Output = Result<Vec<SentPart>, LookupError>> + Send;

    /// Returns the replies stored for turns that end with one of these messages, by the ids of their rows.
    ///
    /// # Errors
    /// When the lookup fails.
    fn stored_answers(
        &self,
        message_ids: &[Uuid],
    ) -> impl Future<Output = Result<Vec<StoredAnswer>, LookupError>> + Send;

    /// Stores the reply to a turn, until the row of its last message is written.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    fn store_answer(
        &self,
        user_id: Option<Uuid>,
        answer: &StoredAnswer,
    ) -> impl Future<Output = Result<(), LookupError>> + Send;

    /// Returns whether this user was answered from this business number before.
    ///
    /// # Errors
    /// When the lookup fails.
    fn has_answers_from(
        &self,
        user_id: Uuid,
        number: &PhoneNumberId,
    ) -> impl Future<Output = Result<bool, LookupError>> + Send;

    /// Writes the rows of an exchange, all of them or none. Existing rows are left unchanged.
    ///
    /// # Errors
    /// When the database does not confirm them. A retry is safe.
    fn record(
        &self,
        user_id: Uuid,
        exchange: &Exchange,
    ) -> impl Future<Output = Result<(), RecordError>> + Send;

    /// Writes the row of a business echo. An existing row is left unchanged.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    fn record_echo(
        &self,
        user_id: Uuid,
        echo: &Incoming,
    ) -> impl Future<Output = Result<(), RecordError>> + Send;

    /// Adds the missing identity of a message's author to the user's link, unless the link was changed after its lookup.
    /// The message was sent `at`. Returns whether the identity was added.
    ///
    /// # Errors
    /// When the database does not confirm it. Nothing depends on it.
    fn complete_link(
        &self,
        user_id: Uuid,
        missing: Missing,
        author: &Author,
        at: DateTime<Utc>,
    ) -> impl Future<Output = Result<bool, RecordError>> + Send;

    /// Claims the code in a message for its sender.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    fn claim_link(&self, claim: &Claim<'_>) -> impl Future<Output = Result<Claimed, LookupError>> + Send;

    /// Links the sender of a tap with the user who created the code, or discards the code.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    fn confirm_link(&self, tap: &Tap<'_>) -> impl Future<Output = Result<Confirmed, LookupError>> + Send;

    /// Returns whether the registration text may be sent from this business number in answer to a message: its sender was
    /// sent none within 24 hours, or a send in answer to this message is not known to have succeeded.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    fn claim_registration(
        &self,
        from: &PhoneNumberId,
        message: &Incoming,
        business_number: Option<&PhoneNumber>,
    ) -> impl Future<Output = Result<bool, LookupError>> + Send;

    /// Stores that the registration text was sent in answer to a message.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    fn registration_sent(
        &self,
        from: &PhoneNumberId,
        message: &Incoming,
    ) -> impl Future<Output = Result<(), LookupError>> + Send;

    /// Stores a status of a sent message.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    fn record_status(&self, status: &Status) -> impl Future<Output = Result<Applied, RecordError>> + Send;

    /// Stores an event and, the first time, applies its identity changes to the links of their users. Returns the outcome
    /// of each change.
    ///
    /// # Errors
    /// When the database does not confirm it. A retry is safe.
    fn store_event(
        &self,
        event: &Event,
    ) -> impl Future<Output = Result<Vec<ChangeResult>, RecordError>> + Send;
}

/// Limits a query to `timeout` and to `deadline`. Beyond them it fails with [`SupabaseError::Timeout`].
pub(crate) async fn within<T, E: From<SupabaseError>>(
    deadline: Deadline,
    timeout: Duration,
    query: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    deadline.run(timeout, query).await.unwrap_or_else(|_| Err(SupabaseError::Timeout.into()))
}

/// A Supabase project.
#[derive(Clone)]
pub struct Project {
    users: Users,
    history: History,
    links: Links,
    supabase: Supabase,
}

impl Project {
    /// Builds the database over `supabase`, with its own key.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        let (users, history) = (Users::new(supabase.clone()), History::new(supabase.clone()));
        Self { users, history, links: Links::new(supabase.clone()), supabase }
    }
}

impl Database for Project {
    async fn find_user(&self, author: &Author) -> Result<Option<Linked>, LookupError> {
        self.users.find(author).await
    }

    async fn recorded(&self, message_ids: &[Uuid]) -> Result<HashSet<Uuid>, LookupError> {
        self.history.recorded(message_ids).await
    }

    async fn sent_parts(&self, answer_ids: &[Uuid]) -> Result<Vec<SentPart>, LookupError> {
        statuses::sent_parts(&self.supabase, answer_ids).await
    }

    async fn stored_answers(&self, message_ids: &[Uuid]) -> Result<Vec<StoredAnswer>, LookupError> {
        stored_answers::find(&self.supabase, message_ids).await
    }

    async fn store_answer(&self, user_id: Option<Uuid>, answer: &StoredAnswer) -> Result<(), LookupError> {
        stored_answers::store(&self.supabase, user_id, answer).await
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

    async fn complete_link(
        &self,
        user_id: Uuid,
        missing: Missing,
        author: &Author,
        at: DateTime<Utc>,
    ) -> Result<bool, RecordError> {
        Ok(self.users.complete_link(user_id, missing, author, at).await?)
    }

    async fn claim_link(&self, claim: &Claim<'_>) -> Result<Claimed, LookupError> {
        self.links.claim(claim).await
    }

    async fn confirm_link(&self, tap: &Tap<'_>) -> Result<Confirmed, LookupError> {
        self.links.confirm(tap).await
    }

    async fn claim_registration(
        &self,
        from: &PhoneNumberId,
        message: &Incoming,
        business_number: Option<&PhoneNumber>,
    ) -> Result<bool, LookupError> {
        self.links.claim_registration(from, message, business_number).await
    }

    async fn registration_sent(&self, from: &PhoneNumberId, message: &Incoming) -> Result<(), LookupError> {
        self.links.registration_sent(from, message).await
    }

    async fn record_status(&self, status: &Status) -> Result<Applied, RecordError> {
        statuses::record(&self.supabase, status).await
    }

    async fn store_event(&self, event: &Event) -> Result<Vec<ChangeResult>, RecordError> {
        events::store(&self.supabase, event).await
    }
}
