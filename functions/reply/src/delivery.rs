//! A message as the queue delivers it.

use aws_lambda_events::event::sqs::SqsMessage;

use crate::queues::Queue;

/// One record of an SQS event.
#[derive(Clone)]
pub struct Delivery {
    /// SQS's id of the message.
    pub message_id: String,
    /// What names this delivery to the queue.
    pub receipt_handle: String,
    /// The envelope.
    pub body: String,
    /// The queue that it comes from.
    pub queue: Queue,
    /// The message group; a standard queue has none.
    pub group: Option<String>,
    /// How often it was delivered, this time included.
    pub receive_count: u32,
}

impl From<SqsMessage> for Delivery {
    fn from(record: SqsMessage) -> Self {
        let attribute = |name: &str| record.attributes.get(name).cloned();
        let group = attribute("MessageGroupId");
        let receive_count =
            attribute("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
        // The inbound queue is FIFO, the record queue is not: the group tells them apart. (A standard queue
        // may carry groups too, so the queue's name has the last word.)
        let fifo = record.event_source_arn.as_deref().map_or(group.is_some(), |arn| arn.ends_with(".fifo"));
        Self {
            message_id: record.message_id.unwrap_or_default(),
            receipt_handle: record.receipt_handle.unwrap_or_default(),
            body: record.body.unwrap_or_default(),
            queue: if fifo { Queue::Inbound } else { Queue::Records },
            group: group.filter(|_| fifo),
            receive_count,
        }
    }
}
