//! A received batch: the function is invoked with it, and the messages that succeeded are deleted.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_sdk_sqs::error::DisplayErrorContext;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName};

use super::PollerState;
use super::event::{self, Record, Source};
use super::outcome::{BatchOutcome, outcome};

/// The messages of a batch, counted as in flight until dropped.
pub(super) struct Batch {
    shared: Arc<PollerState>,
    source: Source,
    messages: Vec<Message>,
}

impl Batch {
    pub(super) fn new(shared: Arc<PollerState>, source: Source, messages: Vec<Message>) -> Self {
        shared.received.fetch_add(count(messages.len()), Ordering::Relaxed);
        shared.in_flight.send_modify(|in_flight| *in_flight += messages.len());
        Self { shared, source, messages }
    }

    /// Lambda limits a batch to 6 MB: the messages of one receive may need several invocations, in order.
    pub(super) async fn process(&self) {
        let mut deleted = 0;
        let mut stopped = HashSet::new();
        let mut waiting: Vec<Record<'_>> =
            self.messages.iter().map(|message| Record::new(message, &self.source)).collect();
        while !waiting.is_empty() {
            let behind = waiting.split_off(event::fitting(&waiting));
            let failed = self.invoke(&waiting).await;
            let (failed, done): (Vec<&Message>, Vec<&Message>) =
                waiting.iter().map(|record| record.message).partition(|message| failed.contains(id(message)));
            deleted += if done.is_empty() { 0 } else { self.delete(&done).await };
            // On a FIFO queue a failed message blocks the rest of its group.
            stopped.extend(failed.into_iter().filter_map(group));
            waiting = behind;
            waiting.retain(|record| group(record.message).is_none_or(|group| !stopped.contains(group)));
        }
        self.shared.deleted.fetch_add(count(deleted), Ordering::Relaxed);
        self.shared.returned.fetch_add(count(self.messages.len() - deleted), Ordering::Relaxed);
    }

    /// Invokes the function and returns the ids of the messages that must stay in the queue.
    async fn invoke(&self, records: &[Record<'_>]) -> HashSet<String> {
        let config = &self.shared.config;
        let function = config.function.name();
        let all: HashSet<String> = records.iter().map(|record| id(record.message).to_owned()).collect();
        match config.function.invoke(event::build(records)).await {
            Err(error) => {
                tracing::warn!(function, %error, messages = all.len(), "batch failed");
                all
            }
            Ok(_) if !config.report_batch_item_failures => HashSet::new(),
            Ok(response) => match outcome(&response, &all) {
                BatchOutcome::Failed(failed) => failed,
                BatchOutcome::Invalid(reason) => {
                    tracing::warn!(function, reason, messages = all.len(), "batch failed: bad response");
                    all
                }
            },
        }
    }

    /// Returns the number of deleted messages. The others are redelivered, which a function behind SQS must
    /// tolerate.
    async fn delete(&self, messages: &[&Message]) -> usize {
        let config = &self.shared.config;
        let entries: Result<Vec<_>, _> = messages
            .iter()
            .enumerate()
            .map(|(index, message)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(index.to_string())
                    .receipt_handle(message.receipt_handle().unwrap_or_default())
                    .build()
            })
            .collect();
        let Ok(entries) = entries else { return 0 };
        let request = config.client.delete_message_batch().queue_url(&config.queue_url);
        match request.set_entries(Some(entries)).send().await {
            Ok(output) => {
                for failure in output.failed() {
                    tracing::warn!(code = failure.code(), "a message could not be deleted");
                }
                output.successful().len()
            }
            Err(error) => {
                let error = DisplayErrorContext(error).to_string();
                tracing::warn!(error, messages = messages.len(), "messages could not be deleted");
                0
            }
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.shared.in_flight.send_modify(|in_flight| *in_flight -= self.messages.len());
    }
}

fn id(message: &Message) -> &str {
    message.message_id().unwrap_or_default()
}

/// The message group, on a FIFO queue.
fn group(message: &Message) -> Option<&str> {
    message.attributes()?.get(&MessageSystemAttributeName::MessageGroupId).map(String::as_str)
}

fn count(messages: usize) -> u64 {
    u64::try_from(messages).unwrap_or(u64::MAX)
}
