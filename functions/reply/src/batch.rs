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
use shared::lambda::trace;
use tracing::{error, info};

use crate::budget::RESPONSE;
use crate::delivery::Delivery;
use crate::outcome::{Outcome, log};

/// Handles the messages of a batch.
pub trait Handle: Sync {
    /// Returns the number of messages at the front of a message group that are handled together, at least one.
    fn turn(&self, group: &[Delivery]) -> usize;

    /// Returns the maximum time for one message: after the first message of a group, none is started with less time.
    fn budget(&self) -> Duration;

    /// Handles one message, or the messages of one turn, before `deadline`.
    fn handle_turn(&self, turn: &[Delivery], deadline: Deadline) -> impl Future<Output = Disposition> + Send;

    /// Decides on a message, or on the first one of a turn, after its handler panicked.
    fn panicked(&self, turn: &[Delivery], deadline: Deadline) -> impl Future<Output = Disposition> + Send;

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
    /// The message is deleted, or all messages of the turn.
    Delete,
    /// So many messages of the turn, from the first, are deleted. The others are the next turn.
    DeleteFirst(usize),
    /// The message is redelivered after this time, together with the later ones of its group.
    Return(Duration),
}

/// Handles a batch and returns the messages to be redelivered, all before `deadline`, when Lambda ends the
/// invocation. After the first message of a group, none is started with less than [`Handle::budget`] left.
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
    let (group, copies) = without_copies(group);
    let mut position = 0;
    while position < group.len() {
        let rest = &group[position..];
        let turn = &rest[..handler.turn(rest).clamp(1, rest.len())];
        // The first is always started: it has the whole invocation, and no later attempt would have more time.
        let late = !deadline.allows(handler.budget());
        let outcome = if late && position > 0 {
            let left = rest.len();
            info!(
                counter = Counter::PostponedMessages.name(),
                left, "too little time left in the invocation: rest of the message group returned"
            );
            Disposition::Return(Duration::ZERO)
        } else {
            handle(turn, deadline, handler).await
        };
        let delay = match outcome {
            Disposition::Delete => {
                position += turn.len();
                continue;
            }
            Disposition::DeleteFirst(done) => {
                position += done.clamp(1, turn.len());
                continue;
            }
            Disposition::Return(delay) => delay,
        };
        // The later ones become visible at once: while the first is hidden, its group is locked. If they were hidden as
        // long, the first would be visible some milliseconds before them, and would be delivered alone.
        let returned = || rest.iter().chain(copies.iter().filter(|copy| has_copy(rest, copy)));
        let showing_later =
            join_all(returned().skip(1).map(|later| handler.hide(later, Duration::ZERO, deadline)));
        join(handler.hide(&rest[0], delay, deadline), showing_later).await;
        copies.iter().filter(|copy| !has_copy(rest, copy)).for_each(log_copy);
        return returned().map(|returned| returned.message_id.clone()).collect();
    }
    copies.iter().for_each(log_copy);
    Vec::new()
}

/// Divides a message group into messages and further copies of them. SQS delivers a message twice, if Meta sent it again
/// after the five minutes in which SQS recognizes duplicates. Copies are handled with the first one.
fn without_copies(group: Vec<Delivery>) -> (Vec<Delivery>, Vec<Delivery>) {
    let (mut messages, mut copies) = (Vec::new(), Vec::new());
    for delivery in group {
        let is_copy = has_copy(&messages, &delivery);
        if is_copy { &mut copies } else { &mut messages }.push(delivery);
    }
    (messages, copies)
}

/// Returns whether one of these deliveries has the same message.
fn has_copy(deliveries: &[Delivery], delivery: &Delivery) -> bool {
    let Some(message) = delivery.message() else { return false };
    deliveries.iter().filter_map(Delivery::message).any(|other| other.key == message.key)
}

/// Logs that a message needs no handling, because a copy of it in the same batch was handled.
fn log_copy(delivery: &Delivery) {
    let handled = Outcome::AnsweredBefore.because("a copy of it in the same batch was handled");
    log(delivery, None, &Ok(handled), None, None);
}

/// Handles a turn. A panic fails only its messages.
async fn handle(turn: &[Delivery], deadline: Deadline, handler: &impl Handle) -> Disposition {
    let first = &turn[0];
    let handled = trace::within(turn[turn.len() - 1].trace.clone(), handler.handle_turn(turn, deadline));
    match AssertUnwindSafe(handled).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => {
            error!(
                counter = Counter::Panics.name(),
                message_id = first.message_id,
                "handler of a message panicked"
            );
            handler.panicked(turn, deadline).await
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
