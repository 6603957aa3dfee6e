//! An SQS batch.
//!
//! Messages of one message group are handled one after the other, groups in parallel. When a message fails, it
//! and all later ones of its group are returned to the queue, so that a sender's order is preserved; other groups
//! continue. Source: “Handling errors for an SQS event source”, AWS Lambda Developer Guide.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse};
use futures::FutureExt;
use futures::future::{join, join_all};
use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::trace;
use tracing::{error, info};

use crate::budget::{MESSAGE_BUDGET, RESPONSE};
use crate::delivery::Delivery;

/// Handles the messages of a batch.
pub trait Handle: Sync {
    /// Handles one message, before `deadline`.
    fn handle(&self, delivery: &Delivery, deadline: Deadline) -> impl Future<Output = Disposition> + Send;

    /// Decides on a message after its handler panicked.
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
    for (position, delivery) in group.iter().enumerate() {
        // The first is always started: it has the whole invocation, and no later attempt would have more time.
        let late = !deadline.allows(MESSAGE_BUDGET);
        let outcome = if late && position > 0 {
            let left = group.len() - position;
            info!(
                counter = Counter::PostponedMessages.name(),
                left, "too little time left in the invocation: rest of the message group returned"
            );
            Disposition::Return(Duration::ZERO)
        } else {
            handle(delivery, deadline, handler).await
        };
        if let Disposition::Return(delay) = outcome {
            let (failed, later) = (&group[position], &group[position + 1..]);
            // The later ones become visible at once: while the first is hidden, its group is locked.
            let showing_later =
                join_all(later.iter().map(|later| handler.hide(later, Duration::ZERO, deadline)));
            join(handler.hide(failed, delay, deadline), showing_later).await;
            return group[position..].iter().map(|returned| returned.message_id.clone()).collect();
        }
    }
    Vec::new()
}

/// Handles one message. A panic fails only this message.
async fn handle(delivery: &Delivery, deadline: Deadline, handler: &impl Handle) -> Disposition {
    let handled = trace::within(delivery.trace.clone(), handler.handle(delivery, deadline));
    match AssertUnwindSafe(handled).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => {
            error!(
                counter = Counter::Panics.name(),
                message_id = delivery.message_id,
                "handler of a message panicked"
            );
            handler.panicked(delivery, deadline).await
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
