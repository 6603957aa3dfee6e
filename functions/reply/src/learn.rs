//! A link is completed with the number, user id or account that a linked person's message says.

use chrono::{DateTime, Utc};
use shared::counter::Counter;
use shared::deadline::Deadline;
use shared::logging::ShortWamid;
use shared::wamid::MessageKey;
use tracing::{info, warn};

use crate::database::Database;
use crate::users::{Author, LEARN_TIMEOUT, Linked};

/// Links what the message `key`, sent `at`, says of its author and the link does not yet.
pub(crate) async fn learn(
    database: &impl Database,
    linked: Linked,
    author: &Author,
    key: &MessageKey,
    at: DateTime<Utc>,
    deadline: Deadline,
) {
    let Linked { user_id, missing: Some(missing) } = linked else { return };
    let wamid = ShortWamid::of(key.as_str());
    // If not now, then with the next message, which says the same.
    match deadline.run(LEARN_TIMEOUT, database.learn(user_id, missing, author, at)).await {
        Ok(Ok(true)) => {
            info!(counter = Counter::LearnedIdentities.name(), %wamid, %user_id, "link completed with number, user id or account");
        }
        Ok(Ok(false)) => info!(%wamid, %user_id, "link not completed: it has changed meanwhile"),
        Ok(Err(cause)) => {
            warn!(counter = Counter::UnlearnedIdentities.name(), %wamid, %user_id, %cause, "link not completed yet");
        }
        Err(_) => {
            warn!(counter = Counter::UnlearnedIdentities.name(), %wamid, %user_id, "link not completed yet: too slow");
        }
    }
}
