//! Sending of a reply, in as many parts as its length requires and the invocation's time allows.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics::milliseconds_since;
use shared::meta::wamid::Wamid;
use tokio::time::Instant;
use tracing::{error, info};
use uuid::Uuid;

use crate::budget::HANDOVER;
use crate::graph::{
    Button, Callback, Class, GraphError, Messenger, PhoneNumberId, Recipient, SEND_TIMEOUT, Text,
};
use crate::lookup::SentParts;
use crate::memory::WorkingNumbers;
use crate::retry::STATUS_DELAY;
use crate::split;

/// The time needed for a part of a reply after the first. The time for a message is that for a reply of one part.
const PART: Duration = HANDOVER.saturating_add(SEND_TIMEOUT);

/// The sender and recipient of a reply, and the message that it answers.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    /// The business number.
    pub(crate) from: &'a PhoneNumberId,
    /// The user, or the group of the message.
    pub(crate) to: Recipient<'a>,
    /// The wamid of the message that is answered.
    pub(crate) wamid: Option<&'a Wamid>,
    /// The reply buttons of an answer of one part.
    pub(crate) buttons: &'a [Button<'a>],
    /// The id of the reply's row, for the callback data.
    pub(crate) answer_id: Uuid,
    /// The number of the first part of the text in the whole reply, from 1.
    pub(crate) part: u32,
    /// The parts that an earlier attempt has sent.
    pub(crate) sent: &'a SentParts,
}

/// The result of sending a reply.
#[derive(Debug)]
pub(crate) struct Sent<'t> {
    /// The wamids of the parts that were sent, as far as Meta returned them.
    pub(crate) wamids: Vec<Wamid>,
    /// The number of parts, including those that an earlier attempt had sent.
    pub(crate) parts: u32,
    /// The part of the reply that was sent.
    pub(crate) progress: Progress<'t>,
}

/// The part of a reply that was sent.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Progress<'t> {
    /// The whole reply was sent.
    Complete,
    /// All but this rest was sent.
    Partial(&'t str, Stop),
    /// No part was sent.
    Failed(GraphError),
}

/// The reason why the rest of a reply was not sent.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    /// The send of a part failed.
    Error(GraphError),
    /// Too little time was left of the invocation.
    NoTime,
}

impl Stop {
    /// Returns whether no retry can send the rest.
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self, Self::Error(cause) if cause.class() == Class::Permanent)
    }
}

impl Stop {
    /// Returns the time for which the rest of the reply waits. If a part may have been sent, its status may come.
    pub(crate) fn delay(&self) -> Duration {
        match self {
            Self::Error(GraphError::Lost) => STATUS_DELAY,
            Self::Error(_) | Self::NoTime => Duration::ZERO,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(cause) => cause.fmt(f),
            Self::NoTime => f.write_str("too little time is left of the invocation"),
        }
    }
}

/// Sends replies.
pub(crate) struct Outbox<'a, M> {
    pub(crate) messenger: &'a M,
    /// Business numbers with an earlier successful send.
    pub(crate) working_numbers: &'a WorkingNumbers,
    /// The current time.
    pub(crate) clock: &'a (dyn Fn() -> DateTime<Utc> + Send + Sync),
}

impl<M: Messenger> Outbox<'_, M> {
    /// Sends `text`, without the parts that an earlier attempt has sent. After the first part, none is started that may not
    /// end before `deadline`.
    pub(crate) async fn send<'t>(&self, route: Route<'_>, text: &'t str, deadline: Deadline) -> Sent<'t> {
        let Route { from, to, wamid, buttons, answer_id, part: first_part, sent: sent_before } = route;
        let quotes = wamid;
        let wamid = quotes.map(|wamid| ShortWamid::field(wamid.as_str()));
        let mut rest = text.trim();
        let mut wamids = Vec::new();
        let mut parts = 0;
        while !rest.is_empty() {
            if parts > 0 && !deadline.allows(PART) {
                return Sent { wamids, parts, progress: Progress::Partial(rest, Stop::NoTime) };
            }
            let (body, after) = split::first(rest);
            let number = first_part + parts;
            if let Some(answer) = sent_before.get(&number) {
                let (counter, answer_wamid) =
                    (Counter::ConfirmedReplies.name(), ShortWamid::field(answer.as_str()));
                info!(
                    counter,
                    wamid,
                    answer = answer_wamid,
                    "reply not sent again: an earlier attempt sent it"
                );
                wamids.push(answer.clone());
                (parts, rest) = (parts + 1, after);
                continue;
            }
            let start = Instant::now();
            let callback = Callback { answer_id, part: number, sent_at: (self.clock)() };
            let part = Text { from, to, body, quotes, callback, buttons };
            let sent = deadline.keeping(HANDOVER).run(SEND_TIMEOUT, self.messenger.send(&part)).await;
            match sent.unwrap_or(Err(GraphError::Lost)) {
                Ok(answer) => {
                    let duration_ms = milliseconds_since(start);
                    let answer_wamid = answer.as_ref().map(|wamid| ShortWamid::field(wamid.as_str()));
                    info!(wamid, answer = answer_wamid, phone_number_id = %from, duration_ms, "reply sent");
                    self.working_numbers.add(from);
                    wamids.extend(answer);
                }
                Err(cause) => {
                    if cause == GraphError::Lost {
                        error!(counter = Counter::DuplicateReplyRisk.name(), wamid, %cause, "reply may have been sent although the Graph API's response was lost: it will be sent again, unless a status shows that it was sent");
                    }
                    let progress = match parts {
                        0 => Progress::Failed(cause),
                        _ => Progress::Partial(rest, Stop::Error(cause)),
                    };
                    return Sent { wamids, parts, progress };
                }
            }
            (parts, rest) = (parts + 1, after);
        }
        Sent { wamids, parts, progress: Progress::Complete }
    }
}
