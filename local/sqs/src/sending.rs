//! Sending to a queue: checks against the queue's attributes, deduplication, delay.

use std::sync::Arc;
use std::time::Duration;

use ring::digest::{SHA256, digest};

use crate::error::{Result, SqsError};
use crate::ids::Ids;
use crate::message::{Message, NewMessage, Sent, State};
use crate::message_attributes::hex;
use crate::queue::Queue;
use crate::time::Timestamp;

impl Queue {
    /// Adds a message to the queue, unless it is a duplicate.
    pub(crate) fn send(&mut self, now: Timestamp, message: &NewMessage, ids: &mut Ids) -> Result<Sent> {
        self.advance(now);
        message.validate()?;
        self.validate_size(message)?;
        let deduplication_id = self.deduplication_id(message)?;
        let group_id: Option<Arc<str>> = message.group_id.as_deref().map(Arc::from);
        let window_id = deduplication_id.clone().map(|id| {
            let per_group = self.attributes.fifo.is_some_and(|fifo| fifo.deduplicates_per_group);
            (group_id.clone().filter(|_| per_group), id)
        });
        if let Some(original) = window_id.as_ref().and_then(|id| self.deduplication.original(id)) {
            return Ok(original.clone());
        }
        let delay = message.delay_seconds.map_or(self.attributes.delay, |s| Duration::from_secs(s.into()));
        let message_id = ids.next();
        let key = self.enqueue(
            now,
            Message {
                id: message_id,
                body: message.body.clone(),
                group_id,
                deduplication_id,
                attributes: Arc::new(message.attributes.clone()),
                system_attributes: Arc::new(message.system_attributes.clone()),
                sent_at: now,
                first_received_at: None,
                receive_count: 0,
                dead_letter_source: None,
                state: if delay.is_zero() {
                    State::Visible
                } else {
                    State::Delayed { until: now.plus(delay) }
                },
            },
        );
        let sent = Sent { message_id, sequence_number: self.sequence_number(key) };
        if let Some(id) = window_id {
            self.deduplication.remember(now, id, sent.clone());
        }
        Ok(sent)
    }

    fn validate_size(&self, message: &NewMessage) -> Result<()> {
        let maximum = self.attributes.maximum_message_size;
        if message.size() <= maximum {
            return Ok(());
        }
        Err(SqsError::InvalidParameterValue(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {maximum} bytes."
        )))
    }

    /// The effective deduplication id, after the checks that depend on the type of queue.
    fn deduplication_id(&self, message: &NewMessage) -> Result<Option<Arc<str>>> {
        const WRONG_KIND: &str = "The request include parameter that is not valid for this queue type.";
        if let Some(seconds) = message.delay_seconds.filter(|seconds| *seconds > 900) {
            let reason = "DelaySeconds must be >= 0 and <= 900.";
            return Err(SqsError::invalid("DelaySeconds", seconds, reason));
        }
        let given = message.deduplication_id.as_deref();
        let Some(fifo) = self.attributes.fifo else {
            return match given {
                None => Ok(None),
                Some(id) => Err(SqsError::invalid("MessageDeduplicationId", id, WRONG_KIND)),
            };
        };
        if message.group_id.is_none() {
            return Err(SqsError::MissingParameter("MessageGroupId"));
        }
        if let Some(seconds) = message.delay_seconds.filter(|seconds| *seconds > 0) {
            return Err(SqsError::invalid("DelaySeconds", seconds, WRONG_KIND));
        }
        match given {
            Some(id) => Ok(Some(id.into())),
            None if fifo.content_based_deduplication => {
                Ok(Some(hex(digest(&SHA256, message.body.as_str().as_bytes()).as_ref()).into()))
            }
            None => Err(SqsError::InvalidParameterValue(
                "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId \
                 provided explicitly"
                    .to_owned(),
            )),
        }
    }
}
