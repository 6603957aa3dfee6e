//! An SQS batch.
//!
//! Messages of one group are handled one after the other, groups in parallel. When a message fails, it
//! and all later ones of its group go back to the queue, so that a sender's order is kept; other groups
//! go on. Source: “Handling errors for an SQS event source”, AWS Lambda Developer Guide.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse};
use futures::FutureExt;
use futures::future::{join, join_all};
use shared::counter::Counter;
use shared::deadline::Deadline;
use shared::trace;
use tracing::{error, info};

use crate::budget::{MESSAGE_BUDGET, RESPONSE};
use crate::delivery::Delivery;

/// What handles the messages of a batch.
pub trait Handle: Sync {
    /// Handles one message, before `deadline`.
    fn handle(&self, delivery: &Delivery, deadline: Deadline) -> impl Future<Output = Disposition> + Send;

    /// What to do about a message whose handling panicked.
    fn panicked(&self, delivery: &Delivery, deadline: Deadline) -> impl Future<Output = Disposition> + Send;

    /// Hides a message that is returned for `delay`, after which it is redelivered.
    fn hide(
        &self,
        delivery: &Delivery,
        delay: Duration,
        deadline: Deadline,
    ) -> impl Future<Output = ()> + Send;
}

/// What Lambda is to do with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposition {
    /// It is deleted.
    Delete,
    /// It is redelivered, after this long.
    Return(Duration),
}

/// Handles a batch and names the messages to be redelivered, all before `deadline`, when the invocation is cut
/// off. After the first of a group, none is begun when less than [`MESSAGE_BUDGET`] is left.
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

/// The groups of a batch, each in the batch's order. A message without a group is one of its own.
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

/// The ids of the messages to be redelivered.
async fn process_group(group: Vec<Delivery>, deadline: Deadline, handler: &impl Handle) -> Vec<String> {
    for (position, delivery) in group.iter().enumerate() {
        // The first is always begun: it starts with the invocation, and no later try would have more time.
        let late = !deadline.allows(MESSAGE_BUDGET);
        let outcome = if late && position > 0 {
            let left = group.len() - position;
            info!(counter = Counter::PostponedMessages.name(), left, "too little time left: returned");
            Disposition::Return(Duration::ZERO)
        } else {
            handle(delivery, deadline, handler).await
        };
        if let Disposition::Return(delay) = outcome {
            let (failed, later) = (&group[position], &group[position + 1..]);
            // The later ones are visible at once: while the first is hidden, its group is locked.
            let later_back =
                join_all(later.iter().map(|later| handler.hide(later, Duration::ZERO, deadline)));
            join(handler.hide(failed, delay, deadline), later_back).await;
            return group[position..].iter().map(|returned| returned.message_id.clone()).collect();
        }
    }
    Vec::new()
}

/// A panic fails its message alone.
async fn handle(delivery: &Delivery, deadline: Deadline, handler: &impl Handle) -> Disposition {
    let handled = trace::within(delivery.trace.clone(), handler.handle(delivery, deadline));
    match AssertUnwindSafe(handled).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => {
            error!(
                counter = Counter::Panics.name(),
                message_id = delivery.message_id,
                "a message made its handler panic"
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
