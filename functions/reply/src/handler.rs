//! Handling of a delivery from either queue, with one log line for its outcome.

use std::time::Duration;

use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics::milliseconds_since;
use shared::lambda::names::UpdateKind;
use shared::lambda::trace;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::batch::{Disposition, Handle};
use crate::database::Database;
use crate::delivery::{Attempt, Delivery, Work};
use crate::failure::Failure;
use crate::function::Reply;
use crate::graph::Messenger;
use crate::incoming::{Event, MessageEvent};
use crate::outcome::{Handled, Outcome, Report};
use crate::queues::{self, QueueClient};
use crate::responder::Responder;
use crate::{redelivery, task, updates};

impl<D: Database, M: Messenger, Q: QueueClient, R: Responder> Handle for Reply<D, M, Q, R> {
    async fn handle(&self, delivery: &Delivery, deadline: Deadline) -> Disposition {
        let start = Instant::now();
        // Boxed: the compiler limits how deep futures are nested.
        let Report { user_id, result } = Box::pin(self.work(delivery, deadline)).await;
        let user_id = user_id.map(tracing::field::display);
        let duration_ms = milliseconds_since(start);
        let work = delivery.work.as_ref().ok();
        let kind = work.map_or(UpdateKind::Unknown, Work::update);
        let (update, name) = (kind.name(), work.and_then(Work::name));
        let wamid = delivery.wamid().map(ShortWamid::field);
        match result {
            Ok(Handled { outcome, reason }) => {
                let counter = outcome.counter(kind).name();
                let (outcome, reason) = (outcome.name(), reason.as_deref());
                let trace_id = trace::current();
                info!(
                    counter,
                    trace_id, update, wamid, name, user_id, outcome, reason, duration_ms, "{update} handled"
                );
                Disposition::Delete
            }
            Err(failure) => {
                let counter = failure.counter().name();
                let outcome = Outcome::Returned.name();
                error!(counter, update, wamid, name, user_id, outcome, reason = %failure, duration_ms, "{update} returned");
                redelivery::after(&failure, delivery, &self.queues, deadline).await
            }
        }
    }

    async fn panicked(&self, delivery: &Delivery, deadline: Deadline) -> Disposition {
        redelivery::after(&Failure::Panic, delivery, &self.queues, deadline).await
    }

    async fn hide(&self, delivery: &Delivery, delay: Duration, deadline: Deadline) {
        redelivery::warn_if_overdue(delivery, (self.clock)());
        let hiding = self.queues.change_visibility(delivery.source, &delivery.receipt_handle, delay);
        if let Err(cause) = queues::within(deadline, hiding).await {
            let (counter, message_id) = (Counter::FailedVisibilityChanges.name(), &delivery.message_id);
            warn!(counter, message_id, %cause, "visibility timeout of a returned message not changed: redelivered when the current one ends");
        }
    }
}

impl<D: Database, M: Messenger, Q: QueueClient, R: Responder> Reply<D, M, Q, R> {
    /// Handles a delivery and reports its outcome.
    async fn work(&self, delivery: &Delivery, deadline: Deadline) -> Report {
        let attempt = Attempt { receive_count: delivery.receive_count, deadline };
        let written = match &delivery.work {
            Err(unreadable) => return Failure::Envelope(unreadable.clone()).into(),
            Ok(Work::Answer(message)) => return self.answer(message, attempt).await,
            Ok(Work::Record(task)) => {
                let (recorder, outbox, own_numbers) = (self.recorder(), self.outbox(), self.own_numbers());
                let done = task::run(task, attempt, recorder, outbox, own_numbers).await;
                return done.unwrap_or_else(Report::from);
            }
            Ok(Work::Echo(echo)) => updates::record_echo(&self.database, echo, deadline).await,
            Ok(Work::Status(status)) => updates::record_status(&self.database, status, deadline).await,
            Ok(Work::Event(event) | Work::MessageEvent(MessageEvent { event, .. })) => {
                let stored = updates::store_event(&self.database, event, deadline).await;
                match stored {
                    // Not deferred: the user's messages are in the same message group and must wait for the change,
                    // because until then their sender is unlinked.
                    Err(cause) if changes_identity(event) => return Failure::Identity(cause).into(),
                    stored => stored,
                }
            }
        };
        match written {
            Ok(report) => report,
            Err(cause) => match updates::defer(&self.queues, delivery, cause, deadline).await {
                Ok(handled) => Report::handled(handled, None),
                Err(failure) => failure.into(),
            },
        }
    }
}

/// Returns whether an event changes a user's number or user id.
fn changes_identity(event: &Event) -> bool {
    !event.changes.is_empty()
}
