//! Handling of a delivery from either queue, or of a turn, with one log line for the outcome of each message.

use std::time::Duration;

use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics::{self, milliseconds_since};
use shared::lambda::names::UpdateKind;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::answer::HANDLED_BEFORE;
use crate::batch::{Disposition, Handle};
use crate::budget::{MESSAGE_BUDGET, PURE_BUDGET};
use crate::database::Database;
use crate::delivery::{Attempt, Delivery, Work};
use crate::failure::Failure;
use crate::function::Reply;
use crate::graph::Messenger;
use crate::incoming::{Event, Incoming, MessageEvent};
use crate::outcome::{Outcome, Report, TurnReport, log};
use crate::queues::{self, QueueClient};
use crate::responder::Responder;
use crate::{redelivery, task, updates};

impl<D: Database, M: Messenger, Q: QueueClient, R: Responder> Handle for Reply<D, M, Q, R> {
    fn turn(&self, group: &[Delivery]) -> usize {
        self.window.turn(group, (self.clock)())
    }

    fn budget(&self) -> Duration {
        if self.responder.is_pure() { PURE_BUDGET } else { MESSAGE_BUDGET }
    }

    async fn handle_turn(&self, turn: &[Delivery], deadline: Deadline) -> Disposition {
        let Some(first) = turn.first() else { return Disposition::Delete };
        if let Some(delay) = self.window.hold(turn, (self.clock)()) {
            turn.iter().for_each(|delivery| log_held(delivery, delay));
            return Disposition::Return(delay);
        }
        let attempt = self.attempt(turn, deadline);
        let start = Instant::now();
        // Boxed: the compiler limits how deep futures are nested.
        let report = Box::pin(self.work(first, turn, attempt)).await;
        let TurnReport { user_id, messages: done, recorded_before, result } = report;
        let (joined, duration_ms) = ((done > 1).then_some(done), Some(milliseconds_since(start)));
        let before = Ok(Outcome::AnsweredBefore.because(HANDLED_BEFORE));
        let is_recorded = |message: &Incoming| result.is_ok() && recorded_before.contains(&message.key);
        for delivery in turn.iter().take(done) {
            let result = if delivery.message().is_some_and(is_recorded) { &before } else { &result };
            log(delivery, user_id, result, joined, duration_ms);
        }
        match result {
            Ok(_) => deleted(turn, done),
            Err(failure) => self.redeliver(&failure, turn, attempt).await,
        }
    }

    async fn panicked(&self, turn: &[Delivery], deadline: Deadline) -> Disposition {
        self.redeliver(&Failure::Panic, turn, self.attempt(turn, deadline)).await
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
    /// Returns the attempt at these deliveries.
    fn attempt(&self, turn: &[Delivery], deadline: Deadline) -> Attempt {
        let receive_count = turn.iter().map(|delivery| delivery.receive_count).max().unwrap_or(1);
        let is_repeated = turn.iter().any(Delivery::is_repeated);
        Attempt { receive_count, is_repeated, tries: self.window.tries(turn, (self.clock)()), deadline }
    }

    /// Decides on a turn that failed. Only its first message is moved to another queue, if it must be.
    async fn redeliver(&self, failure: &Failure, turn: &[Delivery], attempt: Attempt) -> Disposition {
        let Some(first) = turn.first() else { return Disposition::Delete };
        match redelivery::after(failure, first, attempt, self.window.holds(), &self.queues).await {
            Disposition::Delete => deleted(turn, 1),
            returned => returned,
        }
    }

    /// Handles a turn, or the one delivery `first` that is not a message to be answered, and reports the outcome.
    async fn work(&self, first: &Delivery, turn: &[Delivery], attempt: Attempt) -> TurnReport {
        let deadline = attempt.deadline;
        let written = match &first.work {
            Err(unreadable) => return Report::from(Failure::Envelope(unreadable.clone())).of_turn(1),
            Ok(Work::Answer(_)) => {
                let messages: Vec<&Incoming> = turn.iter().filter_map(Delivery::message).collect();
                return self.answer(&messages, attempt).await;
            }
            Ok(Work::Record(task)) => {
                let (recorder, outbox, own_numbers) = (self.recorder(), self.outbox(), self.own_numbers());
                let done = task::run(task, attempt, recorder, outbox, own_numbers).await;
                return done.unwrap_or_else(Report::from).of_turn(1);
            }
            Ok(Work::Echo(echo)) => updates::record_echo(&self.database, echo, deadline).await,
            Ok(Work::Status(status)) => updates::record_status(&self.database, status, deadline).await,
            Ok(Work::Event(event) | Work::MessageEvent(MessageEvent { event, .. })) => {
                let stored = updates::store_event(&self.database, event, deadline).await;
                match stored {
                    // Not deferred: the user's messages are in the same message group and must wait for the change,
                    // because until then their sender is unlinked.
                    Err(cause) if changes_identity(event) => {
                        return Report::from(Failure::Identity(cause)).of_turn(1);
                    }
                    stored => stored,
                }
            }
        };
        let report = match written {
            Ok(report) => report,
            Err(cause) => match updates::defer(&self.queues, first, cause, deadline).await {
                Ok(handled) => Report::handled(handled, None),
                Err(failure) => failure.into(),
            },
        };
        report.of_turn(1)
    }
}

/// Returns the disposition of a turn of which so many messages, from the first, need no redelivery.
fn deleted(turn: &[Delivery], done: usize) -> Disposition {
    if done < turn.len() { Disposition::DeleteFirst(done) } else { Disposition::Delete }
}

/// Logs that a message is held for this time.
fn log_held(delivery: &Delivery, delay: Duration) {
    let work = delivery.work.as_ref().ok();
    let (kind, name) = (UpdateKind::Message, work.and_then(Work::name));
    let (update, wamid) = (kind.name(), delivery.wamid().map(ShortWamid::field));
    let (counter, outcome) = (Outcome::Held.counter(kind).name(), Outcome::Held.name());
    // As a `u128` it would be logged as a string.
    let held_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    metrics::record("held_ms", delay);
    info!(counter, update, wamid, name, outcome, held_ms, "{update} held for further messages of its sender");
}

/// Returns whether an event changes a user's number or user id.
fn changes_identity(event: &Event) -> bool {
    !event.changes.is_empty()
}
