//! The decision to retry a reply that was not sent.

use shared::lambda::deadline::Deadline;

use crate::budget::HANDOVER;
use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::graph::{Class, GraphError, PhoneNumberId};
use crate::lookup::Owner;
use crate::memory::WorkingNumbers;
use crate::users;

/// Attempts after which a reply is undeliverable because Meta's error is still unspecific.
const UNCLEAR_TRIES: u32 = 4;

/// The business numbers known to belong to this account: the configured one, and those with an earlier successful send
/// according to this process or the user's history.
pub(crate) struct OwnNumbers<'a, D> {
    pub(crate) database: &'a D,
    pub(crate) configured: &'a PhoneNumberId,
    pub(crate) working: &'a WorkingNumbers,
}

impl<D: Database> OwnNumbers<'_, D> {
    /// Returns whether a later attempt may send a reply of which no part was sent.
    pub(crate) async fn may_retry(
        &self,
        cause: &GraphError,
        from: &PhoneNumberId,
        owner: Owner,
        attempt: Attempt,
    ) -> bool {
        match cause.class() {
            Class::Transient | Class::SlowDown | Class::Account => true,
            Class::Unclear => attempt.tries < UNCLEAR_TRIES,
            Class::Number => self.contain(from, owner, attempt.deadline).await,
            Class::Permanent => false,
        }
    }

    /// Returns whether a business number belongs to this account. A failed lookup counts as yes: the message waits.
    async fn contain(&self, number: &PhoneNumberId, owner: Owner, deadline: Deadline) -> bool {
        if number == self.configured || self.working.contains(number) {
            return true;
        }
        match owner {
            Owner::Unlinked => false,
            Owner::Unknown => true,
            Owner::User(linked) => {
                let query = self.database.has_answers_from(linked.user_id, number);
                within(deadline.keeping(HANDOVER), users::TIMEOUT, query).await.unwrap_or(true)
            }
        }
    }
}
