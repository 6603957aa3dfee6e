//! Receipt handles: the queue, the message, and one receive of the message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

/// One receive of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReceiptHandle {
    pub(crate) queue: String,
    pub(crate) key: u64,
    pub(crate) message_id: Uuid,
    /// Receive count of the message at this receive.
    pub(crate) receive: u32,
}

impl ReceiptHandle {
    pub(crate) fn encode(&self) -> String {
        STANDARD.encode(format!("{} {} {} {}", self.queue, self.key, self.message_id, self.receive))
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let mut parts = text.split(' ');
        let handle = Self {
            queue: parts.next()?.to_owned(),
            key: parts.next()?.parse().ok()?,
            message_id: parts.next()?.parse().ok()?,
            receive: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipt_handle_round_trips() {
        let handle =
            ReceiptHandle { queue: "q.fifo".into(), key: 7, message_id: Uuid::from_u128(42), receive: 3 };
        assert_eq!(ReceiptHandle::decode(&handle.encode()), Some(handle));
        for text in ["", "garbage", "Zm9v", &STANDARD.encode("a 1 b 2")] {
            assert_eq!(ReceiptHandle::decode(text), None, "{text}");
        }
    }
}
