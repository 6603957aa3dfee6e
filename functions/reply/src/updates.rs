//! Updates that get no reply: business echoes, statuses, events. An update that the database refuses waits on the
//! record queue, where it does not delay the reply to any message.

use std::time::Duration;

use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::logging::plain;
use tracing::{info, warn};

use crate::budget::HANDOVER;
use crate::database::{Database, within};
use crate::delivery::{Delivery, Source};
use crate::failure::Failure;
use crate::history::{self, RecordError};
use crate::incoming::{Event, Incoming, Status};
use crate::outcome::{Handled, Outcome, Report};
use crate::queues::{self, QueueClient};
use crate::statuses::{self, Applied};
use crate::users::Linked;

/// Writes the row of a business echo, unless its recipient is unlinked.
///
/// # Errors
/// See [`RecordError`].
pub(crate) async fn record_echo(
    database: &impl Database,
    echo: &Incoming,
    deadline: Deadline,
) -> Result<Report, RecordError> {
    let writing = async {
        let Some(Linked { user_id, .. }) = database.find_user(&echo.author()).await? else {
            return Ok(None);
        };
        match database.record_echo(user_id, echo).await {
            Err(cause) if cause.is_user_deleted() => Ok(None),
            written => written.map(|()| Some(user_id)),
        }
    };
    let user_id = within(deadline.keeping(HANDOVER), 2 * history::TIMEOUT, writing).await?;
    let handled = match user_id {
        Some(_) => Outcome::Recorded.because("the business wrote it"),
        None => Outcome::Ignored.because("the business wrote it to an unlinked number or user id"),
    };
    Ok(Report::handled(handled, user_id))
}

/// Stores a status, and counts a failure or a charge that it reports for the first time.
///
/// # Errors
/// See [`RecordError`].
pub(crate) async fn record_status(
    database: &impl Database,
    status: &Status,
    deadline: Deadline,
) -> Result<Report, RecordError> {
    let recording = database.record_status(status);
    let applied = within(deadline.keeping(HANDOVER), history::TIMEOUT, recording).await?;
    if applied != Applied::Before {
        statuses::count(status);
    }
    let handled = match applied {
        Applied::ToRow => Outcome::Applied.into(),
        Applied::NoRow => Outcome::Stored.because("its message has no row yet, or never will"),
        Applied::Before => Outcome::AppliedBefore.into(),
    };
    Ok(Report::handled(handled, None))
}

/// Stores an event and applies its identity changes.
///
/// # Errors
/// See [`RecordError`].
pub(crate) async fn store_event(
    database: &impl Database,
    event: &Event,
    deadline: Deadline,
) -> Result<Report, RecordError> {
    let storing = database.store_event(event);
    let changes = within(deadline.keeping(HANDOVER), history::TIMEOUT, storing).await?;
    let name = plain(&event.name);
    info!(counter = Counter::StoredEvents.name(), name, "event stored");
    let reasons: Vec<_> = changes.iter().map(|change| change.log()).collect();
    let user_id = changes.iter().rev().find_map(|change| change.user_id);
    let reason = reasons.last().map(|reason| (*reason).into());
    Ok(Report::handled(Handled { outcome: Outcome::EventStored, reason }, user_id))
}

/// Puts an update that the database refused on the record queue.
///
/// # Errors
/// When the update came from that queue, or the queue refuses it too.
pub(crate) async fn defer(
    queues: &impl QueueClient,
    delivery: &Delivery,
    cause: RecordError,
    deadline: Deadline,
) -> Result<Handled, Failure> {
    if delivery.source == Source::Records {
        return Err(cause.into());
    }
    let deferring = queues.record_later(delivery.body.clone(), Duration::ZERO);
    queues::within(deadline, deferring).await.map_err(Failure::Unrecorded)?;
    warn!(counter = Counter::DeferredUpdates.name(), %cause, "update not written yet: put on the record queue");
    Ok(Outcome::Deferred.because(cause.to_string()))
}
