//! The execution of move tasks.

use std::time::Duration;

use crate::broker::{Broker, name_in_arn};
use crate::error::{Result, SqsError};
use crate::message::{Message, State};
use crate::moves::{MoveStatus, MoveTask};
use crate::queue::Queue;
use crate::time::Timestamp;

impl Broker {
    /// Starts to move the messages of a dead-letter queue to `destination_arn`, or to their source queues.
    /// `rate` is in messages per second, 1 to 500. Returns the task's handle.
    ///
    /// # Errors
    /// `ResourceNotFound`, `UnsupportedOperation` while another task of the queue runs, and
    /// `InvalidParameterValue` when the source is not a dead-letter queue.
    pub fn start_move(
        &mut self,
        now: Timestamp,
        source_arn: &str,
        destination_arn: Option<&str>,
        rate: Option<u32>,
    ) -> Result<String> {
        self.advance(now);
        let source = self.queue_by_arn(source_arn, "SourceArn")?;
        if let Some(rate) = rate.filter(|rate| !(1..=500).contains(rate)) {
            let reason = "You must enter a value between 1 and 500.";
            return Err(SqsError::invalid("MaxNumberOfMessagesPerSecond", rate, reason));
        }
        if let Some(arn) = destination_arn {
            let destination = self.queue_by_arn(arn, "DestinationArn")?;
            if arn == source_arn || destination.is_fifo() != source.is_fifo() {
                let reason = "It must be another queue of the same type as the source.";
                return Err(SqsError::invalid("DestinationArn", arn, reason));
            }
        }
        if self.dead_letter_sources(source_arn).next().is_none() {
            return Err(SqsError::InvalidParameterValue(
                "Source queue must be configured as a Dead Letter Queue.".to_owned(),
            ));
        }
        if self.moves.of(source_arn).any(|task| task.status == MoveStatus::Running) {
            return Err(SqsError::UnsupportedOperation(
                "There is already a task running. Only one active task is allowed for a source queue arn at a \
                 given time."
                    .to_owned(),
            ));
        }
        let to_move = source.counts().visible;
        let task = MoveTask {
            id: self.ids.next(),
            source_arn: source_arn.to_owned(),
            destination_arn: destination_arn.map(str::to_owned),
            rate,
            started_at: now,
            to_move,
            moved: 0,
            status: MoveStatus::Running,
        };
        let handle = task.handle();
        self.moves.add(task);
        self.advance_moves(now);
        Ok(handle)
    }

    /// The latest tasks of a dead-letter queue, up to 10, the latest first.
    ///
    /// # Errors
    /// `ResourceNotFound`.
    pub fn list_moves(&mut self, now: Timestamp, source_arn: &str) -> Result<Vec<MoveTask>> {
        self.advance(now);
        self.queue_by_arn(source_arn, "SourceArn")?;
        Ok(self.moves.of(source_arn).cloned().collect())
    }

    /// Stops a running task and returns the number of messages moved so far; those stay in the destination.
    ///
    /// # Errors
    /// `ResourceNotFound` when no such task is running.
    pub fn cancel_move(&mut self, now: Timestamp, handle: &str) -> Result<usize> {
        self.advance(now);
        let task = self.moves.running().find(|task| task.handle() == handle).ok_or_else(|| {
            SqsError::ResourceNotFound(
                "The resource that you specified for the TaskHandle parameter doesn't exist.".to_owned(),
            )
        })?;
        task.status = MoveStatus::Cancelled;
        Ok(task.moved)
    }

    /// Moves messages that are due. A task ends when no receivable message is left: messages in flight, and
    /// those behind them in their group, stay.
    pub(crate) fn advance_moves(&mut self, now: Timestamp) {
        let Self { queues, moves, ids, transfers } = self;
        for task in moves.running() {
            let Some(source_name) = name_in_arn(&task.source_arn) else { continue };
            while task.status == MoveStatus::Running && task.next_move() <= now {
                let next = queues.get(source_name).and_then(Queue::peek_next);
                let Some((key, message)) = next else {
                    task.status = MoveStatus::Completed;
                    break;
                };
                let destination = task.destination_arn.as_deref().or(message.dead_letter_source.as_deref());
                let Some(destination) = destination.and_then(name_in_arn).map(str::to_owned) else {
                    task.status = MoveStatus::Failed("CouldNotDetermineMessageSource");
                    break;
                };
                if !queues.contains_key(&destination) {
                    task.status = MoveStatus::Failed("AWS.SimpleQueueService.NonExistentQueue");
                    break;
                }
                let taken = queues.get_mut(source_name).and_then(|queue| queue.take_out(key));
                if let (Some(message), Some(queue)) = (taken, queues.get_mut(&destination)) {
                    queue.enqueue(now, renewed(message, ids.next(), now, queue.attributes.delay));
                    task.moved += 1;
                    *transfers += 1;
                }
            }
        }
    }

    fn queue_by_arn(&self, arn: &str, parameter: &str) -> Result<&Queue> {
        name_in_arn(arn).and_then(|name| self.queues.get(name)).ok_or_else(|| {
            SqsError::ResourceNotFound(format!(
                "The resource that you specified for the {parameter} parameter doesn't exist."
            ))
        })
    }
}

/// A redriven message is a new message, with a new id and a new send time (SQS Developer Guide, "Configure a
/// dead-letter queue redrive").
fn renewed(message: Message, id: uuid::Uuid, now: Timestamp, delay: Duration) -> Message {
    let state = if delay.is_zero() { State::Visible } else { State::Delayed { until: now.plus(delay) } };
    Message {
        id,
        sent_at: now,
        first_received_at: None,
        receive_count: 0,
        dead_letter_source: None,
        state,
        ..message
    }
}
