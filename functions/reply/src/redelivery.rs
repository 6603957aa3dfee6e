//! Handling of a delivery that failed: it is returned, quarantined on the record queue, or dead-lettered.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use tracing::{error, warn};

use crate::batch::Disposition;
use crate::delivery::{Attempt, Delivery, Source};
use crate::failure::Failure;
use crate::queues::{self, QueueClient};

/// Attempts after which a poison message is quarantined on the record queue, so that its sender's later messages are
/// handled.
const POISON_AFTER: u32 = 3;

/// The time on the inbound queue after which a returned message counts as overdue.
const OVERDUE: TimeDelta = TimeDelta::minutes(10);

/// Decides on a failed delivery, which may have been held at so many of its receives.
///
/// A poison message is moved to the record queue. A delivery that reached its maximum of receives, or failed permanently,
/// is moved to the dead-letter queue. Any other, and one that these queues refuse, is returned with a backoff.
pub(crate) async fn after(
    failure: &Failure,
    delivery: &Delivery,
    attempt: Attempt,
    holds: u32,
    queues: &impl QueueClient,
) -> Disposition {
    let Attempt { receive_count, tries, deadline, .. } = attempt;
    let message_id = &delivery.message_id;
    let wamid = delivery.wamid().map(ShortWamid::field);
    let source = delivery.source;
    let max_receives = source.max_receives() + if source == Source::Inbound { holds } else { 0 };
    if failure.is_poison() && source == Source::Inbound && tries >= POISON_AFTER {
        match queues::within(deadline, queues.record_later(delivery.body.clone(), Duration::ZERO)).await {
            Ok(()) => {
                let counter = Counter::QuarantinedMessages.name();
                error!(
                    counter,
                    message_id,
                    wamid,
                    "message moved to the record queue, so that its sender's later messages are handled"
                );
                return Disposition::Delete;
            }
            Err(cause) => warn!(message_id, wamid, %cause, "message not moved to the record queue"),
        }
    } else if failure.is_permanent() || receive_count >= max_receives {
        match queues::within(deadline, queues.dead_letter(delivery, &failure.to_string())).await {
            Ok(()) => {
                error!(counter = Counter::DeadLetters.name(), message_id, wamid, cause = %failure, "message moved to the dead-letter queue");
                return Disposition::Delete;
            }
            Err(cause) => warn!(message_id, wamid, %cause, "message not moved to the dead-letter queue"),
        }
    }
    Disposition::Return(failure.delay(message_id, tries))
}

/// Counts a returned message that has waited too long. CloudWatch's `ApproximateAgeOfOldestMessage` leaves out messages
/// that were received several times.
pub(crate) fn warn_if_overdue(delivery: &Delivery, now: DateTime<Utc>) {
    let waited = delivery.sent_at.map(|sent_at| now - sent_at);
    if let Some(waited) = waited
        && delivery.source == Source::Inbound
        && waited > OVERDUE
    {
        let wamid = delivery.wamid().map(ShortWamid::field);
        let (message_id, waited_s) = (&delivery.message_id, waited.num_seconds());
        warn!(
            counter = Counter::OverdueMessages.name(),
            message_id, wamid, waited_s, "returned message is overdue"
        );
    }
}
