//! Looking at a queue without touching it: nothing is received, nothing becomes invisible.

use std::sync::Arc;

use uuid::Uuid;

use crate::message::{Body, State};
use crate::message_attributes::MessageAttributes;
use crate::queue::{Counts, Queue};

/// A queue at one moment.
#[derive(Clone, Debug)]
pub struct QueueView {
    /// How many messages there are.
    pub counts: Counts,
    /// The messages, oldest first.
    pub messages: Vec<MessageView>,
}

/// A message at one moment.
#[derive(Clone, Debug)]
pub struct MessageView {
    /// Identifier of the message.
    pub message_id: Uuid,
    /// The text.
    pub body: Body,
    /// The sender's attributes.
    pub attributes: Arc<MessageAttributes>,
    /// Message group.
    pub group_id: Option<Arc<str>>,
    /// Deduplication id.
    pub deduplication_id: Option<Arc<str>>,
    /// How often it was received.
    pub receive_count: u32,
    /// Where it stands.
    pub state: State,
}

impl Queue {
    /// The queue as of the last operation.
    pub fn view(&self) -> QueueView {
        let messages = self
            .messages
            .values()
            .map(|message| MessageView {
                message_id: message.id,
                body: message.body.clone(),
                attributes: message.attributes.clone(),
                group_id: message.group_id.clone(),
                deduplication_id: message.deduplication_id.clone(),
                receive_count: message.receive_count,
                state: message.state,
            })
            .collect();
        QueueView { counts: self.counts(), messages }
    }
}
