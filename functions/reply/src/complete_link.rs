//! Completion of a link with the number, user id or account in a linked user's message.

use chrono::{DateTime, Utc};
use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::logging::ShortWamid;
use shared::meta::wamid::MessageKey;
use tracing::{info, warn};

use crate::database::Database;
use crate::users::{Author, LINK_TIMEOUT, Linked};

/// Adds to the user's link the identity in the message `key`, sent `at`, that the link lacks.
pub(crate) async fn complete_link(
    database: &impl Database,
    linked: Linked,
    author: &Author,
    key: &MessageKey,
    at: DateTime<Utc>,
    deadline: Deadline,
) {
    let Linked { user_id, missing: Some(missing) } = linked else { return };
    let wamid = ShortWamid::of(key.as_str());
    // After a failure the next message completes the link, because it has the same identity.
    match deadline.run(LINK_TIMEOUT, database.complete_link(user_id, missing, author, at)).await {
        Ok(Ok(true)) => {
            info!(counter = Counter::CompletedLinks.name(), %wamid, %user_id, "link completed with a number, user id or account");
        }
        Ok(Ok(false)) => info!(%wamid, %user_id, "link not completed: it was changed concurrently"),
        Ok(Err(cause)) => {
            warn!(counter = Counter::IncompleteLinks.name(), %wamid, %user_id, %cause, "link not completed yet");
        }
        Err(_) => {
            warn!(counter = Counter::IncompleteLinks.name(), %wamid, %user_id, "link not completed yet: timed out");
        }
    }
}
