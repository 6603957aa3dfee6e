//! What `reply` asks of the database: Supabase, or a model of it.

use shared::envelope::Exchange;
use shared::supabase::Supabase;
use uuid::Uuid;

use crate::history::{History, RecordError};
use crate::incoming::Sender;
use crate::users::{LookupError, Users};

/// Users and their history.
pub trait Database: Send + Sync {
    /// The user who linked this number; `None` when nobody did.
    ///
    /// # Errors
    /// When the database does not say.
    fn find_user(&self, sender: &Sender) -> impl Future<Output = Result<Option<Uuid>, LookupError>> + Send;

    /// Whether the rows of this message have been written: then it was answered, too.
    ///
    /// # Errors
    /// When the database does not say.
    fn is_recorded(&self, wamid: &str) -> impl Future<Output = Result<bool, LookupError>> + Send;

    /// Writes the rows of an exchange, all of them or none. Rows that exist are left as they are.
    ///
    /// # Errors
    /// When it is not known that they were written. Writing them again is safe.
    fn record(
        &self,
        user_id: Uuid,
        exchange: &Exchange,
    ) -> impl Future<Output = Result<(), RecordError>> + Send;
}

/// A Supabase project.
#[derive(Clone)]
pub struct Project {
    users: Users,
    history: History,
}

impl Project {
    /// Uses `supabase` with its own key.
    #[must_use]
    pub fn new(supabase: Supabase) -> Self {
        Self { users: Users::new(supabase.clone()), history: History::new(supabase) }
    }
}

impl Database for Project {
    async fn find_user(&self, sender: &Sender) -> Result<Option<Uuid>, LookupError> {
        self.users.find(sender).await
    }

    async fn is_recorded(&self, wamid: &str) -> Result<bool, LookupError> {
        self.history.is_recorded(wamid).await
    }

    async fn record(&self, user_id: Uuid, exchange: &Exchange) -> Result<(), RecordError> {
        self.history.record(user_id, exchange).await
    }
}
