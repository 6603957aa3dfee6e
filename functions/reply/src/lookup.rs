//! Lookup of the user of a message, and of its rows if it was answered before.

use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics::timed;
use shared::meta::wamid::{MessageKey, Wamid};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::budget::HANDOVER;
use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::users::{self, Author, Linked, LookupError};

/// The owner of the history that a message belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    /// This user.
    User(Linked),
    /// None: the sender is unlinked.
    Unlinked,
    /// Unknown, because the lookup failed.
    Unknown,
}

impl Owner {
    /// Returns the user, if one is known.
    pub(crate) fn user_id(self) -> Option<Uuid> {
        match self {
            Self::User(linked) => Some(linked.user_id),
            Self::Unlinked | Self::Unknown => None,
        }
    }
}

/// Returns the owner of a message, and whether its rows are written, which implies that it was answered.
///
/// A failed lookup must not prevent the reply: a duplicate reply is better than none.
pub(crate) async fn lookup(
    database: &impl Database,
    key: &MessageKey,
    author: &Author,
    attempt: Attempt,
) -> (Owner, bool) {
    let limit = attempt.deadline.keeping(HANDOVER);
    let lookups = async {
        tokio::join!(
            within(limit, users::TIMEOUT, database.find_user(author)),
            within(limit, users::TIMEOUT, database.is_recorded(key))
        )
    };
    let (user, recorded) = timed("lookup_ms", lookups).await;
    let wamid = key.wamid().map(Wamid::as_str);
    let owner = match user {
        Ok(Some(linked)) => Owner::User(linked),
        Ok(None) => Owner::Unlinked,
        Err(cause) => {
            let wamid = wamid.map(ShortWamid::field);
            error!(counter = Counter::FailedLookups.name(), wamid, %cause, "user lookup failed; replying anyway");
            Owner::Unknown
        }
    };
    (owner, was_recorded(recorded, wamid, attempt.receive_count))
}

/// Returns whether the rows of a record task with an unsent rest are written.
pub(crate) async fn is_recorded(database: &impl Database, key: &MessageKey, attempt: Attempt) -> bool {
    let limit = attempt.deadline.keeping(HANDOVER);
    let recorded = within(limit, users::TIMEOUT, database.is_recorded(key)).await;
    was_recorded(recorded, Some(key.as_str()), attempt.receive_count)
}

/// Returns whether rows are written, according to the database. A failed lookup counts as no.
fn was_recorded(recorded: Result<bool, LookupError>, wamid: Option<&str>, receive_count: u32) -> bool {
    let wamid = wamid.map(ShortWamid::field);
    match recorded {
        Ok(true) => return true,
        Ok(false) => {}
        Err(cause) => {
            warn!(counter = Counter::UncheckedAnswers.name(), wamid, %cause, "lookup of rows failed: it is unknown whether the message was answered before; replying anyway");
        }
    }
    if receive_count > 1 {
        // Returned by an earlier attempt, or that process died: then only Meta knows whether the reply was sent.
        info!(
            counter = Counter::RepeatedAttempts.name(),
            wamid, receive_count, "redelivered message has no rows yet"
        );
    }
    false
}
