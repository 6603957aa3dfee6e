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
use shared::deadline::Deadline;
use shared::trace;
use tracing::{error, info};

use crate::delivery::Delivery;
use crate::graph::{SEEN_TIMEOUT, SEND_TIMEOUT};
use crate::users::{self, LEARN_TIMEOUT};
use crate::{history, queues};

/// What one message may take at most, if its answer is one part: the look-ups, marking it as read, a send, an insert,
/// the record queue in its place, going back to its queue when even that fails, and linking what was learned when it
/// does not.
pub const MESSAGE_BUDGET: Duration = users::TIMEOUT
    .saturating_add(SEEN_TIMEOUT)
    .saturating_add(SEND_TIMEOUT)
    .saturating_add(history::TIMEOUT)
    .saturating_add(queues::TIMEOUTS.call)
    .saturating_add(queues::TIMEOUTS.call)
    .saturating_add(LEARN_TIMEOUT);

/// What is kept of an invocation's time for ending it.
const ENDING: Duration = Duration::from_millis(250);

/// What handles the messages of a batch.
pub trait Handle: Sync {
    /// Handles one message, before `deadline`.
    fn handle(&self, delivery: &Delivery, deadline: Deadline) -> impl Future<Output = Outcome> + Send;

    /// What to do about a message whose handling panicked.
    fn panicked(&self, delivery: &Delivery, deadline: Deadline) -> impl Future<Output = Outcome> + Send;

    /// Sends a message back to its queue, where it stays hidden for `delay`.
    fn set_back(
        &self,
        delivery: &Delivery,
        delay: Duration,
        deadline: Deadline,
    ) -> impl Future<Output = ()> + Send;
}

/// What is to become of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It may be deleted.
    Done,
    /// It must come again, after this long.
    Return(Duration),
}

/// Handles a batch and names the messages that must come again, all before `deadline`, when the invocation is cut
/// off. After the first of a group, none is begun when less than [`MESSAGE_BUDGET`] is left.
pub async fn process(
    deliveries: Vec<Delivery>,
    deadline: Deadline,
    handler: &impl Handle,
) -> SqsBatchResponse {
    let groups = by_group(deliveries);
    let deadline = deadline.keeping(ENDING);
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

/// Returns the ids of the messages that must come again.
async fn process_group(group: Vec<Delivery>, deadline: Deadline, handler: &impl Handle) -> Vec<String> {
    for (position, delivery) in group.iter().enumerate() {
        // The first is always begun: it starts with the invocation, and no later try would have more time.
        let late = !deadline.allows(MESSAGE_BUDGET);
        let outcome = if late && position > 0 {
            let left = group.len() - position;
            info!(counter = "postponed_messages", left, "too little time left: returned");
            Outcome::Return(Duration::ZERO)
        } else {
            handle(delivery, deadline, handler).await
        };
        if let Outcome::Return(delay) = outcome {
            let (failed, later) = (&group[position], &group[position + 1..]);
            // The later ones are visible at once: while the first is hidden, its group is locked.
            let later_back =
                join_all(later.iter().map(|later| handler.set_back(later, Duration::ZERO, deadline)));
            join(handler.set_back(failed, delay, deadline), later_back).await;
            return group[position..].iter().map(|returned| returned.message_id.clone()).collect();
        }
    }
    Vec::new()
}

/// A panic fails its message alone.
async fn handle(delivery: &Delivery, deadline: Deadline, handler: &impl Handle) -> Outcome {
    let handled = trace::within(delivery.trace.clone(), handler.handle(delivery, deadline));
    match AssertUnwindSafe(handled).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => {
            error!(counter = "panics", message_id = delivery.message_id, "a message made its handler panic");
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
