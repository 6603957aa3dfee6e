//! Whether an answer that was not sent is sent again.

use shared::deadline::Deadline;

use crate::budget::HANDOVER;
use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::graph::{Class, GraphError, PhoneNumberId};
use crate::lookup::Owner;
use crate::memory::WorkingNumbers;
use crate::users;

/// Receives after which an answer is undeliverable to which Meta says nothing that could be acted on.
const UNCLEAR_RECEIVES: u32 = 4;

/// Which business numbers are this account's: the one that is configured, and those that have worked, as far as this
/// process or the user's history says.
pub(crate) struct OwnNumbers<'a, D> {
    pub(crate) database: &'a D,
    pub(crate) configured: &'a PhoneNumberId,
    pub(crate) worked: &'a WorkingNumbers,
}

impl<D: Database> OwnNumbers<'_, D> {
    /// Whether an answer of which nothing was sent may be sent by a later attempt.
    pub(crate) async fn may_retry(
        &self,
        cause: &GraphError,
        from: &PhoneNumberId,
        owner: Owner,
        attempt: Attempt,
    ) -> bool {
        match cause.class() {
            Class::Passing | Class::SlowDown | Class::Account => true,
            Class::Unclear => attempt.receive_count < UNCLEAR_RECEIVES,
            Class::Number => self.contain(from, owner, attempt.deadline).await,
            Class::Final => false,
        }
    }

    /// Whether a business number is this account's. What the database does not say counts as yes: the message waits.
    async fn contain(&self, number: &PhoneNumberId, owner: Owner, deadline: Deadline) -> bool {
        if number == self.configured || self.worked.contains(number) {
            return true;
        }
        match owner {
            Owner::Unlinked => false,
            Owner::Unknown => true,
            Owner::User(linked) => {
                let asked = self.database.has_answers_from(linked.user_id, number);
                within(deadline.keeping(HANDOVER), users::TIMEOUT, asked).await.unwrap_or(true)
            }
        }
    }
}
