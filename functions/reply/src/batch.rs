//! An SQS batch of a FIFO queue.
//!
//! Messages of one group are handled one after the other, groups in parallel. When a message fails, it
//! and all later ones of its group go back to the queue, so that a sender's order is kept; other groups
//! go on. Source: “Handling errors for an SQS event source”, AWS Lambda Developer Guide.

use std::panic::AssertUnwindSafe;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsMessage};
use futures::FutureExt;
use futures::future::join_all;
use tracing::error;

/// Handles a batch and names the messages that must come again.
///
/// `handle` gets a message's body. A panic in it fails that message alone.
pub async fn process<'f, Handle, Handled, Failure>(
    records: Vec<SqsMessage>,
    handle: Handle,
) -> SqsBatchResponse
where
    Handle: Fn(String) -> Handled + 'f,
    Handled: Future<Output = Result<(), Failure>> + 'f,
{
    let groups = by_group(records);
    let failures = join_all(groups.into_iter().map(|group| process_group(group, &handle))).await;
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures = failures.into_iter().flatten().collect();
    response
}

/// The groups of a batch, each in the batch's order.
fn by_group(records: Vec<SqsMessage>) -> Vec<Vec<SqsMessage>> {
    let mut groups: Vec<(Option<String>, Vec<SqsMessage>)> = Vec::new();
    for record in records {
        let group = record.attributes.get("MessageGroupId").cloned();
        match groups.iter_mut().find(|(name, _)| name.is_some() && *name == group) {
            Some((_, members)) => members.push(record),
            // A message without a group, of a standard queue, is a group of its own.
            None => groups.push((group, vec![record])),
        }
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

async fn process_group<Handle, Handled, Failure>(
    records: Vec<SqsMessage>,
    handle: &Handle,
) -> Vec<BatchItemFailure>
where
    Handle: Fn(String) -> Handled,
    Handled: Future<Output = Result<(), Failure>>,
{
    let mut records = records.into_iter();
    while let Some(record) = records.next() {
        let message_id = record.message_id.unwrap_or_default();
        let handled = AssertUnwindSafe(async { handle(record.body.unwrap_or_default()).await });
        match handled.catch_unwind().await {
            Ok(Ok(())) => continue,
            // `handle` has logged why.
            Ok(Err(_)) => {}
            Err(_) => error!(counter = "panics", message_id, "a panic: message returned"),
        }
        let later = records.map(|record| record.message_id.unwrap_or_default());
        return std::iter::once(message_id).chain(later).map(failure).collect();
    }
    Vec::new()
}

fn failure(message_id: String) -> BatchItemFailure {
    let mut failure = BatchItemFailure::default();
    failure.item_identifier = message_id;
    failure
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
