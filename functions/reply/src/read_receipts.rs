//! Read receipts and typing indicators, if a setting enables them.

use std::str::FromStr;
use std::time::Duration;

use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::logging::ShortWamid;
use tracing::warn;

use crate::budget::HANDOVER;
use crate::graph::{GraphError, MARK_READ_TIMEOUT, Messenger, PhoneNumberId, ReadReceipt};
use crate::incoming::Incoming;

/// The time after which a typing indicator is renewed: Meta shows it for 25 s. Source: “Typing indicators”, WhatsApp Business
/// Platform documentation.
pub(crate) const RENEWAL: Duration = Duration::from_secs(20);

/// The sign that the user gets before the reply: `WHATSAPP_READ_RECEIPTS`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReadReceipts {
    /// No sign.
    #[default]
    Off,
    /// The message is marked as read.
    Read,
    /// The message is marked as read and, if it may get a reply, a typing indicator is shown.
    Typing,
}

/// A string that is not `off`, `read` or `typing`.
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

impl ReadReceipts {
    /// Returns the sign when no reply follows.
    #[must_use]
    pub fn without_typing(self) -> Self {
        if self == Self::Typing { Self::Read } else { self }
    }
}

/// Marks a message that the business number `by` received as read, if this program replies to it. Failures are logged.
pub(crate) async fn mark_read(
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
    let receipt = ReadReceipt { by, wamid, typing };
    let marked = deadline.keeping(HANDOVER).run(MARK_READ_TIMEOUT, messenger.mark_read(&receipt)).await;
    if let Err(cause) = marked.unwrap_or(Err(GraphError::Lost)) {
        let wamid = ShortWamid::field(wamid.as_str());
        warn!(counter = Counter::FailedReadReceipts.name(), wamid, %cause, "message not marked as read");
    }
}
