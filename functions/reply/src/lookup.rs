//! Who wrote a message, and whether it was answered.

use shared::counter::Counter;
use shared::logging::ShortWamid;
use shared::metrics::timed;
use shared::wamid::MessageKey;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::budget::HANDOVER;
use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::users::{self, Author, Linked, LookupError};

/// Whose history a message belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    /// This user's.
    User(Linked),
    /// The sender is not linked.
    Unlinked,
    /// The database did not say.
    Unknown,
}

impl Owner {
    /// The user, if one is known.
    pub(crate) fn user_id(self) -> Option<Uuid> {
        match self {
            Self::User(linked) => Some(linked.user_id),
            Self::Unlinked | Self::Unknown => None,
        }
    }
}

/// Whose history it belongs to, and whether its rows have been written: then it was answered, too.
///
/// A database that says nothing must not stop the answer: better a second one than none.
pub(crate) async fn look_up(
    database: &impl Database,
    key: &MessageKey,
    author: &Author,
    attempt: Attempt,
) -> (Owner, bool) {
    let limit = attempt.deadline.keeping(HANDOVER);
    let asked = async {
        tokio::join!(
            within(limit, users::TIMEOUT, database.find_user(author)),
            within(limit, users::TIMEOUT, database.is_recorded(key))
        )
    };
    let (user, recorded) = timed("lookup_ms", asked).await;
    let owner = match user {
        Ok(Some(linked)) => Owner::User(linked),
        Ok(None) => Owner::Unlinked,
        Err(cause) => {
            let wamid = key.wamid().map(|wamid| ShortWamid::field(wamid.as_str()));
            error!(counter = Counter::FailedLookups.name(), wamid, %cause, "user not looked up: answering all the same");
            Owner::Unknown
        }
    };
    let wamid = key.wamid().map(|wamid| wamid.as_str());
    (owner, was_recorded(recorded, wamid, attempt.receive_count))
}

/// Whether the rows of a record task, whose answer has a rest to be sent, have been written.
pub(crate) async fn is_recorded(database: &impl Database, key: &MessageKey, attempt: Attempt) -> bool {
    let limit = attempt.deadline.keeping(HANDOVER);
    let recorded = within(limit, users::TIMEOUT, database.is_recorded(key)).await;
    was_recorded(recorded, Some(key.as_str()), attempt.receive_count)
}

/// What the database says about rows; what it does not say counts as no.
fn was_recorded(recorded: Result<bool, LookupError>, wamid: Option<&str>, receive_count: u32) -> bool {
    let wamid = wamid.map(ShortWamid::field);
    match recorded {
        Ok(true) => return true,
        Ok(false) => {}
        Err(cause) => {
            warn!(counter = Counter::UncheckedAnswers.name(), wamid, %cause, "perhaps answered before: answering all the same");
        }
    }
    if receive_count > 1 {
        // Returned by us, or left behind by a process that died: then only Meta knows how far it came.
        info!(
            counter = Counter::RepeatedAttempts.name(),
            wamid, receive_count, "redelivered, and not recorded"
        );
    }
    false
}
