//! A message is marked as read, when a setting asks for it.

use std::str::FromStr;

use shared::counter::Counter;
use shared::deadline::Deadline;
use shared::logging::ShortWamid;
use tracing::warn;

use crate::budget::HANDOVER;
use crate::graph::{GraphError, Messenger, PhoneNumberId, SEEN_TIMEOUT, Seen};
use crate::incoming::Incoming;

/// What the person is shown of our having seen a message: `WHATSAPP_READ_RECEIPTS`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReadReceipts {
    /// Nothing until the answer comes.
    #[default]
    Off,
    /// That it was read.
    Read,
    /// That it was read and, if it may have an answer, that one is being written.
    Typing,
}

/// A text that is none of the three.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected off, read or typing")]
pub struct ReadReceiptsError;

impl FromStr for ReadReceipts {
    type Err = ReadReceiptsError;

    fn from_str(text: &str) -> Result<Self, ReadReceiptsError> {
        match text {
            "off" => Ok(Self::Off),
            "read" => Ok(Self::Read),
            "typing" => Ok(Self::Typing),
            _ => Err(ReadReceiptsError),
        }
    }
}

/// Marks a message of a conversation that is ours, which `by` received. Nothing depends on it.
pub(crate) async fn mark_seen(
    messenger: &impl Messenger,
    receipts: ReadReceipts,
    message: &Incoming,
    by: &PhoneNumberId,
    deadline: Deadline,
) {
    let Some(wamid) = message.key.wamid() else { return };
    if receipts == ReadReceipts::Off || !message.is_ours {
        return;
    }
    let answerable = message.group_id.is_none() && message.content.is_conversation();
    let typing = receipts == ReadReceipts::Typing && answerable;
    let seen = Seen { by, wamid, typing };
    let marked = deadline.keeping(HANDOVER).run(SEEN_TIMEOUT, messenger.mark_seen(&seen)).await;
    if let Err(cause) = marked.unwrap_or(Err(GraphError::Lost)) {
        let wamid = ShortWamid::field(wamid.as_str());
        warn!(counter = Counter::FailedReadReceipts.name(), wamid, %cause, "not marked as read");
    }
}
