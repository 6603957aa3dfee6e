//! A message is marked as read, when a setting asks for it.

use std::str::FromStr;

use shared::deadline::Deadline;
use shared::logging::ShortWamid;
use tracing::warn;

use crate::database::Database;
use crate::graph::{GraphError, Messenger, SEEN_TIMEOUT, Seen};
use crate::handler::Reply;
use crate::incoming::Incoming;
use crate::queues::Queues;
use crate::responder::Responder;
use crate::send::HANDOVER;

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

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Reply<D, M, Q, R> {
    /// Marks a message of a conversation that is ours. When that fails, nobody misses it.
    pub(crate) async fn mark_seen(&self, message: &Incoming, deadline: Deadline) {
        let Some(wamid) = message.wamid.as_deref() else { return };
        if self.read_receipts == ReadReceipts::Off || !message.is_ours {
            return;
        }
        let answerable = message.group_id.is_none() && message.content.is_conversation();
        let typing = self.read_receipts == ReadReceipts::Typing && answerable;
        let by = message.phone_number_id.as_ref().unwrap_or(&self.phone_number_id);
        let seen = Seen { by, wamid, typing };
        let marked = deadline.keeping(HANDOVER).run(SEEN_TIMEOUT, self.messenger.mark_seen(&seen)).await;
        if let Err(cause) = marked.unwrap_or(Err(GraphError::Lost)) {
            let wamid = ShortWamid::field(wamid);
            warn!(counter = "failed_read_receipts", wamid, %cause, "not marked as read");
        }
    }
}
