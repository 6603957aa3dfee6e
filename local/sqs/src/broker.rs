//! All queues of the account, and the transfers between them: dead letters and move tasks.
//!
//! Like a single queue, the broker has neither clock nor I/O.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::attributes::{self, AttributeMap, QueueAttributes};
use crate::error::{Result, SqsError};
use crate::ids::Ids;
use crate::message::{Message, NewMessage, Receive, Received, Sent, State};
use crate::moves::MoveTasks;
use crate::queue::Queue;
use crate::time::Timestamp;

/// The region in the ARNs.
pub const REGION: &str = "us-east-1";
/// The account in the ARNs and queue URLs.
pub const ACCOUNT: &str = "000000000000";

/// The queues.
#[derive(Debug)]
pub struct Broker {
    pub(crate) queues: BTreeMap<String, Queue>,
    pub(crate) moves: MoveTasks,
    pub(crate) ids: Ids,
    /// Number of messages transferred between queues: a change means that waiting receives must poll again.
    pub(crate) transfers: u64,
}

/// The ARN of the queue `name`.
#[must_use]
pub fn queue_arn(name: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}")
}

/// The name in the ARN of one of our queues.
pub(crate) fn name_in_arn(arn: &str) -> Option<&str> {
    arn.strip_prefix("arn:aws:sqs:")?.rsplit_once(':').map(|(_, name)| name)
}

impl Broker {
    /// A broker without queues. The same `seed` gives the same message ids.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { queues: BTreeMap::new(), moves: MoveTasks::default(), ids: Ids::new(seed), transfers: 0 }
    }

    /// Creates a queue. Idempotent with the same attributes.
    ///
    /// # Errors
    /// Invalid names and attributes; `QueueNameExists` when the queue exists with other attributes.
    pub fn create_queue(&mut self, now: Timestamp, name: &str, wanted: &AttributeMap) -> Result<()> {
        let fifo = wanted.get("FifoQueue").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        validate_name(name, fifo)?;
        if let Some(queue) = self.queues.get(name) {
            let mut updated = queue.attributes.clone();
            updated.apply(wanted)?;
            let (current, updated) = (queue.attributes.render(), updated.render());
            let other = updated.into_iter().find(|(name, value)| current.get(name) != Some(value));
            return other.map_or(Ok(()), |(name, _)| Err(SqsError::QueueNameExists(name)));
        }
        let mut attributes = QueueAttributes::new(fifo);
        attributes.apply(wanted)?;
        self.validate_redrive(&queue_arn(name), &attributes)?;
        let queue = Queue::new(name, &queue_arn(name), attributes, now);
        self.queues.insert(name.to_owned(), queue);
        Ok(())
    }

    /// Deletes a queue with its messages.
    ///
    /// # Errors
    /// `QueueDoesNotExist`.
    pub fn delete_queue(&mut self, name: &str) -> Result<()> {
        self.queues.remove(name).map(drop).ok_or(SqsError::QueueDoesNotExist)
    }

    /// One queue.
    ///
    /// # Errors
    /// `QueueDoesNotExist`.
    pub fn queue(&self, name: &str) -> Result<&Queue> {
        self.queues.get(name).ok_or(SqsError::QueueDoesNotExist)
    }

    pub(crate) fn queue_mut(&mut self, name: &str) -> Result<&mut Queue> {
        self.queues.get_mut(name).ok_or(SqsError::QueueDoesNotExist)
    }

    /// Changes attributes of a queue: all of them or, on an error, none.
    ///
    /// # Errors
    /// Invalid names and values; a dead-letter queue that does not exist, has another type, or does not allow
    /// this source.
    pub fn set_attributes(&mut self, now: Timestamp, name: &str, wanted: &AttributeMap) -> Result<()> {
        let mut attributes = self.queue(name)?.attributes.clone();
        attributes.apply(wanted)?;
        self.validate_redrive(&queue_arn(name), &attributes)?;
        self.queue_mut(name)?.set_attributes(now, attributes);
        Ok(())
    }

    /// The attributes of a queue, with the counts of its messages.
    ///
    /// # Errors
    /// `QueueDoesNotExist`.
    pub fn attributes(&mut self, now: Timestamp, name: &str) -> Result<AttributeMap> {
        self.advance(now);
        let queue = self.queue(name)?;
        let counts = queue.counts();
        let mut map = queue.attributes.render();
        let values = [
            counts.visible.to_string(),
            counts.delayed.to_string(),
            counts.in_flight.to_string(),
            queue.created_at.as_secs().to_string(),
            queue.modified_at.as_secs().to_string(),
            queue.arn.to_string(),
        ];
        map.extend(attributes::READ_ONLY.map(str::to_owned).into_iter().zip(values));
        Ok(map)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// As SQS: bodies, ids and sizes out of bounds, parameters missing.
    pub fn send(&mut self, now: Timestamp, name: &str, message: &NewMessage) -> Result<Sent> {
        let queue = self.queues.get_mut(name).ok_or(SqsError::QueueDoesNotExist)?;
        queue.send(now, message, &mut self.ids)
    }

    /// Receives messages. Those over the maximum receive count move to the dead-letter queue instead; if that
    /// queue was deleted, they are received once more.
    ///
    /// # Errors
    /// `QueueDoesNotExist`, `OverLimit`.
    pub fn receive(&mut self, now: Timestamp, name: &str, receive: &Receive) -> Result<Vec<Received>> {
        self.advance(now);
        let queue = self.queue(name)?;
        let source_arn = queue.arn.clone();
        let redrive = queue.attributes.redrive.as_ref().and_then(|redrive| {
            let target = name_in_arn(&redrive.dead_letter_target_arn)?.to_owned();
            self.queues.contains_key(&target).then_some((target, redrive.max_receive_count))
        });
        let dead_after = redrive.as_ref().map(|(_, count)| *count);
        let handed = self.queue_mut(name)?.receive(now, receive, dead_after)?;
        if let Some((target, _)) = redrive {
            for message in handed.dead {
                self.dead_letter(now, &target, &source_arn, message)?;
            }
        }
        Ok(handed.received)
    }

    /// Moves a message to its dead-letter queue. Ids and receive count are preserved. On a standard queue the
    /// age is preserved too; on a FIFO queue the retention period restarts (SQS Developer Guide, "Dead-letter
    /// queues").
    fn dead_letter(
        &mut self,
        now: Timestamp,
        target: &str,
        source: &Arc<str>,
        message: Message,
    ) -> Result<()> {
        self.transfers += 1;
        let queue = self.queue_mut(target)?;
        let sent_at = if queue.is_fifo() { now } else { message.sent_at };
        let dead_letter_source = Some(source.clone());
        queue.enqueue(now, Message { state: State::Visible, sent_at, dead_letter_source, ..message });
        Ok(())
    }

    /// Deletes a message.
    ///
    /// # Errors
    /// `ReceiptHandleIsInvalid`; `InvalidParameterValue` for an expired handle of a FIFO queue.
    pub fn delete(&mut self, now: Timestamp, name: &str, receipt_handle: &str) -> Result<()> {
        self.queue_mut(name)?.delete(now, receipt_handle)
    }

    /// Changes the visibility timeout of a message in flight, counted from now.
    ///
    /// # Errors
    /// As [`Broker::delete`], and `MessageNotInflight`.
    pub fn change_visibility(
        &mut self,
        now: Timestamp,
        name: &str,
        receipt_handle: &str,
        timeout: Duration,
    ) -> Result<()> {
        self.queue_mut(name)?.change_visibility(now, receipt_handle, timeout)
    }

    /// Deletes all messages of a queue.
    ///
    /// # Errors
    /// `PurgeQueueInProgress` within 60 s of the previous purge.
    pub fn purge(&mut self, now: Timestamp, name: &str) -> Result<()> {
        self.queue_mut(name)?.purge(now)
    }

    /// Applies everything due at `now` in all queues and tasks.
    pub fn advance(&mut self, now: Timestamp) {
        for queue in self.queues.values_mut() {
            queue.advance(now);
        }
        self.advance_moves(now);
    }

    /// Time of the next timer: call [`Broker::advance`], or receive again, at that time.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.queues.values().filter_map(Queue::next_event).chain(self.moves.next_event()).min()
    }

    /// The queues with the dead-letter queue `arn`.
    pub(crate) fn dead_letter_sources<'a>(&'a self, arn: &'a str) -> impl Iterator<Item = &'a Queue> {
        self.queues.values().filter(move |queue| {
            queue.attributes.redrive.as_ref().is_some_and(|redrive| redrive.dead_letter_target_arn == arn)
        })
    }

    fn validate_redrive(&self, source_arn: &str, attributes: &QueueAttributes) -> Result<()> {
        let Some(redrive) = &attributes.redrive else { return Ok(()) };
        let invalid = |reason: &str| Err(SqsError::invalid("RedrivePolicy", redrive.render(), reason));
        let target = name_in_arn(&redrive.dead_letter_target_arn).and_then(|name| self.queues.get(name));
        let Some(target) = target else {
            return invalid("Dead letter target does not exist.");
        };
        if target.is_fifo() != attributes.fifo.is_some() {
            return invalid("Dead-letter queue must be same type of queue as the source.");
        }
        if target.attributes.redrive_allow.as_ref().is_some_and(|allow| !allow.allows(source_arn)) {
            return invalid("The dead-letter queue does not permit this source queue.");
        }
        Ok(())
    }
}

/// 1 to 80 letters, digits, hyphens and underscores; the suffix `.fifo` on FIFO queues, and only there (API
/// reference, CreateQueue).
fn validate_name(name: &str, fifo: bool) -> Result<()> {
    let stem = if fifo { name.strip_suffix(".fifo").unwrap_or_default() } else { name };
    let allowed = stem.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if allowed && !stem.is_empty() && name.len() <= 80 {
        return Ok(());
    }
    Err(SqsError::InvalidParameterValue(if fifo {
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with \
         .fifo suffix and be 1 to 80 in length."
            .to_owned()
    } else {
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length".to_owned()
    }))
}
