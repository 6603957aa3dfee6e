//! An SQS batch.
//!
//! The messages of a message group are handled in order, groups in parallel. Messages of one turn are handled together.
//! When one fails or is held, it and all later ones of its group are returned to the queue, so that a sender's order is
//! preserved; other groups continue. Source: “Handling errors for an SQS event source”, AWS Lambda Developer Guide.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse};
use futures::FutureExt;
use futures::future::{join, join_all};
use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::logging::plain;
use shared::lambda::names::UpdateKind;
use shared::lambda::trace;
use tracing::{error, info};

use crate::budget::{MESSAGE_BUDGET, RESPONSE};
use crate::delivery::Delivery;
use crate::outcome::Outcome;

/// Handles the messages of a batch.
pub trait Handle: Sync {
    /// Returns the number of messages at the front of a message group that are handled together, at least one.
    fn turn(&self, group: &[Delivery]) -> usize;

    /// Handles one message, or the messages of one turn, before `deadline`.
    fn handle(&self, turn: &[Delivery], deadline: Deadline) -> impl Future<Output = Disposition> + Send;

    /// Decides on a message, or on the first one of a turn, after its handler panicked.
    fn panicked(&self, delivery: &Delivery, deadline: Deadline) -> impl Future<Output = Disposition> + Send;

    /// Hides a returned message for `delay`, after which it is redelivered.
    fn hide(
        &self,
        delivery: &Delivery,
        delay: Duration,
        deadline: Deadline,
    ) -> impl Future<Output = ()> + Send;
}

/// The result that Lambda reports to SQS for a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposition {
    /// The message is deleted.
    Delete,
    /// The message is redelivered after this time.
    Return(Duration),
    /// The message, which waits for further ones, is redelivered after this time, together with its whole group.
    Hold(Duration),
}

/// Handles a batch and returns the messages to be redelivered, all before `deadline`, when Lambda ends the
/// invocation. After the first message of a group, none is started with less than [`MESSAGE_BUDGET`] left.
pub async fn process(
    deliveries: Vec<Delivery>,
    deadline: Deadline,
    handler: &impl Handle,
) -> SqsBatchResponse {
    let groups = by_group(deliveries);
    let deadline = deadline.keeping(RESPONSE);
    let returned = join_all(groups.into_iter().map(|group| process_group(group, deadline, handler))).await;
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = returned.into_iter().flatten().map(failure).collect();
    response
}

/// Returns the message groups of a batch, each in the batch's order. A message without a group forms its own.
fn by_group(deliveries: Vec<Delivery>) -> Vec<Vec<Delivery>> {
    let mut groups: Vec<Vec<Delivery>> = Vec::new();
    for delivery in deliveries {
        let same = |group: &&mut Vec<Delivery>| delivery.group.is_some() && group[0].group == delivery.group;
        match groups.iter_mut().find(same) {
            Some(members) => members.push(delivery),
            None => groups.push(vec![delivery]),
        }
    }
    groups
}

/// Handles a message group in order and returns the ids of the messages to be redelivered.
async fn process_group(group: Vec<Delivery>, deadline: Deadline, handler: &impl Handle) -> Vec<String> {
    let mut position = 0;
    while position < group.len() {
        let rest = &group[position..];
        let turn = &rest[..handler.turn(rest).clamp(1, rest.len())];
        // The first is always started: it has the whole invocation, and no later attempt would have more time.
        let late = !deadline.allows(MESSAGE_BUDGET);
        let outcome = if turn.iter().all(|delivery| has_copy(&group[..position], delivery)) {
            for delivery in turn {
                log_copy(delivery);
            }
            Disposition::Delete
        } else if late && position > 0 {
            let left = rest.len();
            info!(
                counter = Counter::PostponedMessages.name(),
                left, "too little time left in the invocation: rest of the message group returned"
            );
            Disposition::Return(Duration::ZERO)
        } else {
            handle(turn, deadline, handler).await
        };
        let delays = match outcome {
            Disposition::Delete => {
                position += turn.len();
                continue;
            }
            // The later ones become visible at once: while the first is hidden, its group is locked.
            Disposition::Return(delay) => (delay, Duration::ZERO),
            Disposition::Hold(delay) => (delay, delay),
        };
        let (first, later) = (&rest[0], &rest[1..]);
        let hiding_later = join_all(later.iter().map(|later| handler.hide(later, delays.1, deadline)));
        join(handler.hide(first, delays.0, deadline), hiding_later).await;
        return rest.iter().map(|returned| returned.message_id.clone()).collect();
    }
    Vec::new()
}

/// Returns whether `handled` has a copy of a delivery's message. SQS delivers two, if Meta sent it again after the five
/// minutes in which SQS recognizes duplicates.
fn has_copy(handled: &[Delivery], delivery: &Delivery) -> bool {
    let Some(message) = delivery.message() else { return false };
    handled.iter().filter_map(Delivery::message).any(|other| other.key == message.key)
}

/// Logs that a message needs no handling, because a copy of it in the same batch is handled.
pub(crate) fn log_copy(delivery: &Delivery) {
    let Some(message) = delivery.message() else { return };
    let (kind, wamid, name) = (UpdateKind::Message, message.short_wamid(), plain(&message.kind));
    let (counter, outcome) = (Outcome::AnsweredBefore.counter(kind).name(), Outcome::AnsweredBefore.name());
    let (update, reason) = (kind.name(), "a copy of it in the same batch was handled");
    info!(counter, update, wamid, name, outcome, reason, "{update} handled");
}

/// Handles a turn. A panic fails only its messages.
async fn handle(turn: &[Delivery], deadline: Deadline, handler: &impl Handle) -> Disposition {
    let first = &turn[0];
    let handled = trace::within(turn[turn.len() - 1].trace.clone(), handler.handle(turn, deadline));
    match AssertUnwindSafe(handled).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => {
            error!(
                counter = Counter::Panics.name(),
                message_id = first.message_id,
                "handler of a message panicked"
            );
            handler.panicked(first, deadline).await
        }
    }
}

fn failure(message_id: String) -> BatchItemFailure {
    let mut failure = BatchItemFailure::default();
    failure.item_identifier = message_id;
    failure
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
