//! Back to where they came from.
//!
//! SQS moves dead letters by itself (`StartMessageMoveTask`). Where an endpoint cannot, each is received,
//! sent and deleted, in the order of its group. SQS does not know where a message came from that `reply` has
//! given up, so the destination is named wherever there is only one.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, bail};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{ListMessageMoveTasksResultEntry, Message, MessageSystemAttributeName};
use reply::queues::CAUSE;
use shared::aws;
use tokio::time::sleep;

use super::queue::DeadLetters;

/// How often a move task is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a task that was started may take to be listed.
const LISTED_WITHIN: u32 = 60;

/// What was sent again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Redriven {
    /// How many messages.
    pub moved: usize,
    /// Why not all; `None` when all were.
    pub left: Option<String>,
}

impl DeadLetters {
    /// Sends all messages back to the queues that they came from, and waits until that is done. With
    /// `one_by_one`, or where there are no move tasks, each is received, sent and deleted.
    ///
    /// # Errors
    /// When a call is refused. What was moved stays moved; the rest is still here.
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
            Err(error) => Err(error).context("SQS does not start to move them"),
        }
    }

    /// Waits for the end of the task that was started after the one of `before`.
    async fn follow_task(&self, before: Option<i64>) -> anyhow::Result<Redriven> {
        let mut unseen = 0;
        loop {
            let task = self.latest_task().await.context("the move task cannot be followed: it goes on")?;
            match task.filter(|task| before.is_none_or(|before| task.started_timestamp > before)) {
                None if unseen >= LISTED_WITHIN => bail!("SQS does not say what became of the move task"),
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
            sleep(LOOK_EVERY).await;
        }
    }

    /// The ARN of another queue of the same account and region.
    fn arn_of(&self, url: &str) -> anyhow::Result<String> {
        let (account, _) = self.arn.rsplit_once(':').context("the queue's ARN is none")?;
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

    /// Stops at a message that is among those that were `sent`, or cannot be moved.
    async fn move_batch(
        &self,
        received: Vec<Message>,
        sent: &mut HashSet<String>,
        redriven: &mut Redriven,
    ) -> anyhow::Result<()> {
        for message in received {
            if sent.contains(message.message_id().unwrap_or_default()) {
                // It is back already: what makes it fail is not repaired.
                redriven.left = Some("messages that were sent again became dead letters again".to_owned());
                return Ok(());
            }
            let destination = self.source_of(&message)?.to_owned();
            let receipt_handle = message.receipt_handle().unwrap_or_default().to_owned();
            sent.insert(self.send(&destination, message).await?);
            let call = self.client.delete_message().queue_url(&self.url).receipt_handle(receipt_handle);
            call.send().await.context("sent again and not deleted: run it again within five minutes")?;
            redriven.moved += 1;
        }
        Ok(())
    }

    /// URL of the queue that a message came from.
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
            _ => bail!(
                "message {}: not known which queue it came from",
                message.message_id().unwrap_or_default()
            ),
        }
    }

    /// Sends a message again and returns its new id.
    async fn send(&self, destination: &str, message: Message) -> anyhow::Result<String> {
        let attributes = message.attributes.unwrap_or_default();
        let group = attributes.get(&MessageSystemAttributeName::MessageGroupId).cloned();
        let call =
            self.client.send_message().queue_url(destination).message_body(message.body.unwrap_or_default());
        let mut notes = message.message_attributes.unwrap_or_default();
        // What it failed of is over.
        notes.remove(CAUSE);
        let notes = Some(notes).filter(|notes| !notes.is_empty());
        let mut call = call.set_message_attributes(notes).set_message_group_id(group);
        if destination.ends_with(".fifo") {
            // With the id that it had, the queue would take it for a duplicate if it first came less than five
            // minutes ago, and it would be lost. With one made from the dead letter's, a second run after one
            // that ended between sending and deleting sends nothing twice.
            let id = message.message_id.unwrap_or_default();
            call = call.message_deduplication_id(format!("redrive-{id}"));
        }
        let sent = call.send().await.with_context(|| format!("cannot send to {destination}"))?;
        Ok(sent.message_id.unwrap_or_default())
    }
}

/// Whether the endpoint does not know move tasks.
fn has_no_move_tasks<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let status = error.raw_response().map(|response| response.status().as_u16());
    let unknown = ["InvalidAction", "NotImplemented", "UnknownOperationException", "UnknownOperation"];
    matches!(status, Some(404 | 405 | 501)) || unknown.contains(&aws::reason(error).as_str())
}
