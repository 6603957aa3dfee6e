//! The function: what it talks to, its settings, and what it remembers.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::graph::PhoneNumberId;
use crate::incoming::Incoming;
use crate::memory::Memory;
use crate::read_receipts::ReadReceipts;
use crate::record::Recorder;
use crate::refusal::OwnNumbers;
use crate::send::Outbox;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The function: what it talks to, and its settings.
pub struct Reply<D, M, Q, R> {
    /// Users and their history.
    pub database: D,
    /// How answers are sent.
    pub messenger: M,
    /// The queues that feed it.
    pub queues: Q,
    /// What to answer.
    pub responder: R,
    /// What an unlinked sender is told.
    pub registration_text: String,
    /// Whether messages are marked as read.
    pub read_receipts: ReadReceipts,
    /// Whether messages of groups are answered, in the group.
    pub answers_groups: bool,
    /// The business number that answers messages which do not say which number received them.
    pub phone_number_id: PhoneNumberId,
    /// The time of an answer.
    pub clock: Clock,
    /// What the process remembers.
    pub memory: Arc<Memory>,
}

impl<D, M, Q, R> Reply<D, M, Q, R> {
    /// What sends answers.
    pub(crate) fn outbox(&self) -> Outbox<'_, M> {
        Outbox { messenger: &self.messenger, worked: &self.memory.numbers }
    }

    /// What writes rows.
    pub(crate) fn recorder(&self) -> Recorder<'_, D, Q> {
        Recorder { database: &self.database, queues: &self.queues }
    }

    /// Which business numbers are this account's.
    pub(crate) fn own_numbers(&self) -> OwnNumbers<'_, D> {
        let (database, configured, worked) = (&self.database, &self.phone_number_id, &self.memory.numbers);
        OwnNumbers { database, configured, worked }
    }

    /// The business number that answers a message.
    pub(crate) fn number_for<'a>(&'a self, message: &'a Incoming) -> &'a PhoneNumberId {
        message.phone_number_id.as_ref().unwrap_or(&self.phone_number_id)
    }
}
