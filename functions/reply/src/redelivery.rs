//! What becomes of a delivery that failed: redelivered after a while, moved to the record queue, or a dead letter.

use chrono::{DateTime, TimeDelta, Utc};
use shared::counter::Counter;
use shared::deadline::Deadline;
use shared::logging::ShortWamid;
use tracing::{error, warn};

use crate::batch::Disposition;
use crate::delivery::{Delivery, Source};
use crate::failure::Failure;
use crate::queues::{self, QueueClient};

/// Deliveries after which a message that cannot be handled is moved to the record queue, so that its sender's later
/// messages are handled.
const POISON_AFTER: u32 = 3;

/// How long after it was put on the inbound queue a message that is returned counts as overdue.
const OVERDUE: TimeDelta = TimeDelta::minutes(10);

/// When a failed delivery is redelivered. One that would fail again is moved to the record queue instead, and one that was
/// received often enough, or that nothing would repair, becomes a dead letter, if the queues take it.
pub(crate) async fn after(
    failure: &Failure,
    delivery: &Delivery,
    queues: &impl QueueClient,
    deadline: Deadline,
) -> Disposition {
    let message_id = &delivery.message_id;
    let wamid = delivery.wamid().map(ShortWamid::field);
    let Delivery { source, receive_count, .. } = *delivery;
    if failure.is_poison() && source == Source::Inbound && receive_count >= POISON_AFTER {
        match queues::within(deadline, queues.record_later(delivery.body.clone())).await {
            Ok(()) => {
                let counter = Counter::SetAsideMessages.name();
                error!(
                    counter,
                    message_id, wamid, "moved to the record queue: its sender's later messages are handled"
                );
                return Disposition::Delete;
            }
            Err(cause) => warn!(message_id, wamid, %cause, "not moved to the record queue"),
        }
    } else if failure.is_permanent() || receive_count >= source.max_receives() {
        match queues::within(deadline, queues.dead_letter(delivery, &failure.to_string())).await {
            Ok(()) => {
                error!(counter = Counter::DeadLetters.name(), message_id, wamid, cause = %failure, "moved to the dead-letter queue");
                return Disposition::Delete;
            }
            Err(cause) => warn!(message_id, wamid, %cause, "not moved to the dead-letter queue"),
        }
    }
    Disposition::Return(failure.backoff().delay(message_id, receive_count))
}

/// Counts a message that is returned and has waited for long: CloudWatch's `ApproximateAgeOfOldestMessage` leaves out
/// those that were received several times.
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
            message_id, wamid, waited_s, "returned, and overdue"
        );
    }
}
