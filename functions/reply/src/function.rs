//! The function: its dependencies, settings and in-memory state.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::graph::PhoneNumberId;
use crate::incoming::Incoming;
use crate::memory::Memory;
use crate::notice::Notices;
use crate::read_receipts::ReadReceipts;
use crate::record::Recorder;
use crate::refusal::OwnNumbers;
use crate::send::Outbox;
use crate::turns::Window;

/// A function that returns the current time.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The function: its dependencies and settings.
pub struct Reply<D, M, Q, R> {
    /// Users and their history.
    pub database: D,
    /// Sends replies.
    pub messenger: M,
    /// The queues that feed it.
    pub queues: Q,
    /// Chooses the reply to a message.
    pub responder: R,
    /// The text sent to an unlinked sender.
    pub registration_text: String,
    /// Whether messages are marked as read.
    pub read_receipts: ReadReceipts,
    /// Whether messages in groups are answered, in the group.
    pub answers_groups: bool,
    /// The business number that answers messages without a phone number id.
    pub phone_number_id: PhoneNumberId,
    /// The clock for the time of a reply.
    pub clock: Clock,
    /// The time for which a message waits for further messages of its sender.
    pub window: Window,
    /// State that the process keeps between invocations.
    pub memory: Arc<Memory>,
}

impl<D, M, Q, R> Reply<D, M, Q, R> {
    /// Returns the sender of replies.
    pub(crate) fn outbox(&self) -> Outbox<'_, M> {
        Outbox { messenger: &self.messenger, working_numbers: &self.memory.numbers, clock: &*self.clock }
    }

    /// Returns the writer of rows.
    pub(crate) fn recorder(&self) -> Recorder<'_, D, Q> {
        Recorder { database: &self.database, queues: &self.queues }
    }

    /// Returns the business numbers known to belong to this account.
    pub(crate) fn own_numbers(&self) -> OwnNumbers<'_, D> {
        let (database, configured, working) = (&self.database, &self.phone_number_id, &self.memory.numbers);
        OwnNumbers { database, configured, working }
    }

    /// Returns the sender of notices.
    pub(crate) fn notices(&self) -> Notices<'_, D, M> {
        Notices {
            outbox: self.outbox(),
            own_numbers: self.own_numbers(),
            conversations: &self.memory.conversations,
            read_receipts: self.read_receipts,
        }
    }

    /// Returns the business number that answers a message.
    pub(crate) fn number_for<'a>(&'a self, message: &'a Incoming) -> &'a PhoneNumberId {
        message.phone_number_id.as_ref().unwrap_or(&self.phone_number_id)
    }
}
