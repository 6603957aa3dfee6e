//! Receiving from a queue, and the operations on a receipt handle.

use std::sync::Arc;
use std::time::Duration;

use crate::attributes::MAXIMUM_VISIBILITY_TIMEOUT;
use crate::error::{Result, SqsError};
use crate::message::{Message, Receive, Received, State};
use crate::queue::Queue;
use crate::receipt::ReceiptHandle;
use crate::time::Timestamp;

/// Maximum number of messages in flight (SQS Developer Guide, "Message quotas"). Above it a standard queue
/// returns `OverLimit`, a FIFO queue returns no messages.
const MAXIMUM_IN_FLIGHT: usize = 120_000;

/// Result of a receive.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) received: Vec<Received>,
    /// Messages over the maximum receive count; they have been removed from this queue.
    pub(crate) dead: Vec<Message>,
}

impl Queue {
    /// Delivers up to 10 messages. With `dead_after`, messages received that often are removed instead.
    pub(crate) fn receive(
        &mut self,
        now: Timestamp,
        receive: &Receive,
        dead_after: Option<u32>,
    ) -> Result<Batch> {
        self.advance(now);
        let mut handed = Batch::default();
        let mut last: Option<(Arc<str>, u64)> = None;
        let until = now.plus(receive.visibility_timeout.unwrap_or(self.attributes.visibility_timeout));
        while handed.received.len() < receive.maximum {
            let Some(key) = self.order.next(last.as_ref()) else { break };
            let Some(message) = self.messages.get_mut(&key) else { break };
            if dead_after.is_some_and(|maximum| message.receive_count >= maximum) {
                handed.dead.extend(self.take_out(key));
                continue;
            }
            if self.in_flight >= MAXIMUM_IN_FLIGHT {
                if handed.received.is_empty() && !self.is_fifo() {
                    return Err(SqsError::OverLimit);
                }
                break;
            }
            message.receive_count += 1;
            message.first_received_at.get_or_insert(now);
            last = message.group_id.clone().map(|group| (group, key));
            self.set_state(key, State::InFlight { since: now, until, changed: false });
            handed.received.extend(self.received(key, now));
        }
        Ok(handed)
    }

    /// Deletes a message by receipt handle. On a FIFO queue the handle must be of the receive in flight; on a
    /// standard queue every handle is valid.
    pub(crate) fn delete(&mut self, now: Timestamp, receipt_handle: &str) -> Result<()> {
        self.advance(now);
        let Some((key, handle)) = self.find(receipt_handle)? else {
            return Ok(()); // already deleted: SQS reports success
        };
        if self.is_fifo() && !self.is_current(key, &handle) {
            return Err(expired(receipt_handle));
        }
        self.take_out(key);
        Ok(())
    }

    /// Changes the visibility timeout of a message in flight to `timeout` from now; zero makes it visible at
    /// once.
    pub(crate) fn change_visibility(
        &mut self,
        now: Timestamp,
        receipt_handle: &str,
        timeout: Duration,
    ) -> Result<()> {
        self.advance(now);
        if timeout > MAXIMUM_VISIBILITY_TIMEOUT {
            return Err(SqsError::invalid(
                "VisibilityTimeout",
                timeout.as_secs(),
                "VisibilityTimeout must be an integer between 0 and 43200.",
            ));
        }
        let Some((key, handle)) = self.find(receipt_handle)? else {
            return Err(SqsError::invalid(
                "ReceiptHandle",
                receipt_handle,
                "Message does not exist or is not available for visibility timeout change.",
            ));
        };
        if self.is_fifo() && !self.is_current(key, &handle) {
            return Err(expired(receipt_handle));
        }
        let Some(State::InFlight { since, .. }) = self.messages.get(&key).map(|message| message.state) else {
            return Err(SqsError::MessageNotInflight);
        };
        let until = now.plus(timeout);
        if until.since(since) > MAXIMUM_VISIBILITY_TIMEOUT {
            return Err(SqsError::invalid(
                "VisibilityTimeout",
                timeout.as_secs(),
                "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
            ));
        }
        let in_flight = State::InFlight { since, until, changed: true };
        self.set_state(key, if timeout.is_zero() { State::Visible } else { in_flight });
        Ok(())
    }

    /// The message of a receipt handle, if it still exists.
    ///
    /// # Errors
    /// `ReceiptHandleIsInvalid` for a malformed handle, or one of another queue.
    fn find(&self, receipt_handle: &str) -> Result<Option<(u64, ReceiptHandle)>> {
        let handle = ReceiptHandle::decode(receipt_handle)
            .filter(|handle| handle.queue == self.name)
            .ok_or(SqsError::ReceiptHandleIsInvalid)?;
        let there = self.messages.get(&handle.key).is_some_and(|message| message.id == handle.message_id);
        Ok(there.then_some((handle.key, handle)))
    }

    /// Whether the message is still in flight from the receive of this handle.
    fn is_current(&self, key: u64, handle: &ReceiptHandle) -> bool {
        self.messages.get(&key).is_some_and(|message| {
            matches!(message.state, State::InFlight { .. }) && message.receive_count == handle.receive
        })
    }

    fn received(&self, key: u64, now: Timestamp) -> Option<Received> {
        let message = self.messages.get(&key)?;
        let handle = ReceiptHandle {
            queue: self.name.clone(),
            key,
            message_id: message.id,
            receive: message.receive_count,
        };
        Some(Received {
            message_id: message.id,
            receipt_handle: handle.encode(),
            body: message.body.clone(),
            attributes: message.attributes.clone(),
            system_attributes: message.system_attributes.clone(),
            group_id: message.group_id.clone(),
            deduplication_id: message.deduplication_id.clone(),
            sequence_number: self.sequence_number(key),
            receive_count: message.receive_count,
            sent_at: message.sent_at,
            first_received_at: message.first_received_at.unwrap_or(now),
            dead_letter_source: message.dead_letter_source.clone(),
        })
    }
}

fn expired(receipt_handle: &str) -> SqsError {
    SqsError::invalid("ReceiptHandle", receipt_handle, "The receipt handle has expired.")
}
