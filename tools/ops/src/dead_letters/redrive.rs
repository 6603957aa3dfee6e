//! Redriving dead letters to their source queues.
//!
//! SQS moves dead letters in a move task (`StartMessageMoveTask`). Where an endpoint has no move tasks, each message is
//! received, sent and deleted, in the order of its message group. SQS does not know the source queue of a message that
//! `reply` has dead-lettered, so the destination is set wherever there is only one source queue.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, bail};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{ListMessageMoveTasksResultEntry, Message, MessageSystemAttributeName};
use reply::queues::CAUSE;
use shared::aws;
use tokio::time::sleep;

use super::queue::DeadLetters;

/// The polling interval of a move task.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// The number of polls until a started task must be listed.
const LISTED_WITHIN: u32 = 60;

/// The result of a redrive.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Redriven {
    /// The number of redriven messages.
    pub moved: usize,
    /// The reason for stopping early; `None` if all messages were redriven.
    pub left: Option<String>,
}

impl DeadLetters {
    /// Sends all messages back to their source queues, and waits for the end. With `one_by_one`, or where there are no
    /// move tasks, each message is received, sent and deleted.
    ///
    /// # Errors
    /// When a call is refused. Moved messages stay moved; the others are still in the dead-letter queue.
    pub async fn redrive(&self, one_by_one: bool) -> anyhow::Result<Redriven> {
        if one_by_one {
            return self.move_one_by_one().await;
        }
        let before = self.latest_task().await.ok().flatten();
        let mut call = self.client.start_message_move_task().source_arn(&self.arn);
        if let [only] = self.sources.as_slice() {
            call = call.destination_arn(self.arn_of(only)?);
        }
        match call.send().await {
            Ok(_) => self.follow_task(before.map(|task| task.started_timestamp)).await,
            Err(error) if has_no_move_tasks(&error) => self.move_one_by_one().await,
            Err(error) => Err(error).context("SQS does not start the move task"),
        }
    }

    /// Waits for the end of the task that was started after time `before`.
    async fn follow_task(&self, before: Option<i64>) -> anyhow::Result<Redriven> {
        let mut unseen = 0;
        loop {
            let task = self.latest_task().await.context("the move task cannot be queried; it continues")?;
            match task.filter(|task| before.is_none_or(|before| task.started_timestamp > before)) {
                None if unseen >= LISTED_WITHIN => bail!("SQS does not report the outcome of the move task"),
                None => unseen += 1,
                Some(task) => {
                    let moved =
                        usize::try_from(task.approximate_number_of_messages_moved).unwrap_or_default();
                    match task.status.as_deref() {
                        Some("COMPLETED") => return Ok(Redriven { moved, left: None }),
                        Some("RUNNING" | "CANCELLING") => {}
                        status => {
                            let status = status.unwrap_or("without a status");
                            let why = task.failure_reason.unwrap_or_default();
                            return Ok(Redriven {
                                moved,
                                left: Some(format!("the move task is {status} {why}")),
                            });
                        }
                    }
                }
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Returns the ARN of another queue of the same account and region.
    fn arn_of(&self, url: &str) -> anyhow::Result<String> {
        let (account, _) = self.arn.rsplit_once(':').context("the queue's ARN is invalid")?;
        Ok(format!("{account}:{}", url.rsplit('/').next().unwrap_or_default()))
    }

    async fn latest_task(&self) -> anyhow::Result<Option<ListMessageMoveTasksResultEntry>> {
        let call = self.client.list_message_move_tasks().source_arn(&self.arn).max_results(1);
        Ok(call.send().await?.results.and_then(|tasks| tasks.into_iter().next()))
    }

    async fn move_one_by_one(&self) -> anyhow::Result<Redriven> {
        let mut sent = HashSet::new();
        let mut redriven = Redriven::default();
        while redriven.left.is_none() {
            let received = self.receive(10).await?;
            if received.is_empty() {
                break;
            }
            let handles: Vec<_> =
                received.iter().filter_map(|message| message.receipt_handle.clone()).collect();
            let result = self.move_batch(received, &mut sent, &mut redriven).await;
            if result.is_err() || redriven.left.is_some() {
                self.show_again(&handles).await;
            }
            result?;
        }
        Ok(redriven)
    }

    /// Stops at a message that was already `sent` in this run, or cannot be moved.
    async fn move_batch(
        &self,
        received: Vec<Message>,
        sent: &mut HashSet<String>,
        redriven: &mut Redriven,
    ) -> anyhow::Result<()> {
        for message in received {
            if sent.contains(message.message_id().unwrap_or_default()) {
                // The message has been dead-lettered again: the cause is not repaired.
                redriven.left = Some("redriven messages were dead-lettered again".to_owned());
                return Ok(());
            }
            let destination = self.source_of(&message)?.to_owned();
            let receipt_handle = message.receipt_handle().unwrap_or_default().to_owned();
            sent.insert(self.send(&destination, message).await?);
            let call = self.client.delete_message().queue_url(&self.url).receipt_handle(receipt_handle);
            call.send()
                .await
                .context("redriven and not deleted: run the command again within five minutes")?;
            redriven.moved += 1;
        }
        Ok(())
    }

    /// Returns the URL of a message's source queue.
    fn source_of(&self, message: &Message) -> anyhow::Result<&str> {
        let attributes = message.attributes().into_iter();
        let arn = attributes.flatten().find_map(|(name, value)| {
            (*name == MessageSystemAttributeName::DeadLetterQueueSourceArn).then_some(value.as_str())
        });
        let name = arn.and_then(|arn| arn.rsplit(':').next());
        let is_it = |url: &&String| name.is_some() && url.rsplit('/').next() == name;
        match (self.sources.iter().find(is_it), self.sources.as_slice()) {
            (Some(source), _) => Ok(source),
            (None, [only]) if name.is_none() => Ok(only),
            _ => bail!("message {}: the source queue is unknown", message.message_id().unwrap_or_default()),
        }
    }

    /// Sends a message again and returns its new id.
    async fn send(&self, destination: &str, message: Message) -> anyhow::Result<String> {
        let attributes = message.attributes.unwrap_or_default();
        let group = attributes.get(&MessageSystemAttributeName::MessageGroupId).cloned();
        let call =
            self.client.send_message().queue_url(destination).message_body(message.body.unwrap_or_default());
        let mut notes = message.message_attributes.unwrap_or_default();
        // The old cause does not apply any more.
        notes.remove(CAUSE);
        let notes = Some(notes).filter(|notes| !notes.is_empty());
        let mut call = call.set_message_attributes(notes).set_message_group_id(group);
        if destination.ends_with(".fifo") {
            // With the original deduplication id, the queue would discard a message younger than five minutes as a
            // duplicate. With an id derived from the dead letter's message id, a run after one that ended between
            // sending and deleting sends no duplicate.
            let id = message.message_id.unwrap_or_default();
            call = call.message_deduplication_id(format!("redrive-{id}"));
        }
        let sent = call.send().await.with_context(|| format!("cannot send to {destination}"))?;
        Ok(sent.message_id.unwrap_or_default())
    }
}

/// Returns whether the endpoint has no move tasks.
fn has_no_move_tasks<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let status = error.raw_response().map(|response| response.status().as_u16());
    let unknown = ["InvalidAction", "NotImplemented", "UnknownOperationException", "UnknownOperation"];
    matches!(status, Some(404 | 405 | 501)) || unknown.contains(&aws::reason(error).as_str())
}
