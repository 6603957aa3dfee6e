//! Inspecting a queue without side effects: nothing is received, visibility stays the same.

use std::sync::Arc;

use uuid::Uuid;

use crate::message::{Body, State};
use crate::message_attributes::MessageAttributes;
use crate::queue::{Counts, Queue};

/// A snapshot of a queue.
#[derive(Clone, Debug)]
pub struct QueueView {
    /// Number of messages by state.
    pub counts: Counts,
    /// The messages, oldest first.
    pub messages: Vec<MessageView>,
}

/// A snapshot of a message.
#[derive(Clone, Debug)]
pub struct MessageView {
    /// Identifier of the message.
    pub message_id: Uuid,
    /// The body.
    pub body: Body,
    /// Custom attributes set by the sender.
    pub attributes: Arc<MessageAttributes>,
    /// Message group.
    pub group_id: Option<Arc<str>>,
    /// Deduplication id.
    pub deduplication_id: Option<Arc<str>>,
    /// Number of receives.
    pub receive_count: u32,
    /// Current state.
    pub state: State,
}

impl Queue {
    /// The queue as of the last operation.
    #[must_use]
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
