//! An answer goes out, in as many parts as it needs and as the invocation has time for.

use std::fmt;
use std::time::Duration;

use shared::counter::Counter;
use shared::deadline::Deadline;
use shared::logging::ShortWamid;
use shared::metrics::milliseconds_since;
use shared::wamid::Wamid;
use tokio::time::Instant;
use tracing::{error, info};

use crate::budget::HANDOVER;
use crate::graph::{Class, GraphError, Messenger, PhoneNumberId, Recipient, SEND_TIMEOUT, Text};
use crate::memory::WorkingNumbers;
use crate::split;

/// No later part of an answer is begun with less time than this.
const SHORTEST_SEND: Duration = Duration::from_secs(1);

/// Who answers whom, and what.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    /// The business number.
    pub(crate) from: &'a PhoneNumberId,
    /// The person, or the group that they wrote in.
    pub(crate) to: Recipient<'a>,
    /// The message that is answered.
    pub(crate) wamid: Option<&'a Wamid>,
}

/// What was sent.
#[derive(Debug)]
pub(crate) struct Sent<'t> {
    /// Meta's ids of the parts that were, as far as Meta said them.
    pub(crate) wamids: Vec<Wamid>,
    /// How far it came.
    pub(crate) how_far: HowFar<'t>,
}

/// How far an answer came.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum HowFar<'t> {
    /// All of it is sent.
    Whole,
    /// Not this rest of it.
    Partly(&'t str, Stop),
    /// Nothing is.
    Nothing(GraphError),
}

/// Why the rest of an answer was not sent.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Stop {
    /// Meta, or the way there.
    Error(GraphError),
    /// The invocation ends too soon.
    NoTime,
}

impl Stop {
    /// Whether the rest can never go out.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Error(cause) if cause.class() == Class::Final)
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

/// What sends answers.
pub(crate) struct Outbox<'a, M> {
    pub(crate) messenger: &'a M,
    /// The business numbers that have worked.
    pub(crate) worked: &'a WorkingNumbers,
}

impl<M: Messenger> Outbox<'_, M> {
    /// Sends `text`. No part after the first is begun that may not end before `deadline`.
    pub(crate) async fn send<'t>(&self, route: Route<'_>, text: &'t str, deadline: Deadline) -> Sent<'t> {
        let Route { from, to, wamid } = route;
        let quotes = wamid;
        let wamid = quotes.map(|wamid| ShortWamid::field(wamid.as_str()));
        let mut rest = text.trim();
        let mut slowest: Option<Duration> = None;
        let mut wamids = Vec::new();
        while !rest.is_empty() {
            let needed = slowest.map(|slowest| HANDOVER + SHORTEST_SEND.max(slowest * 3 / 2));
            if needed.is_some_and(|needed| !deadline.allows(needed)) {
                return Sent { wamids, how_far: HowFar::Partly(rest, Stop::NoTime) };
            }
            let (body, after) = split::first(rest);
            let start = Instant::now();
            let part = Text { from, to, body, quotes };
            let sent = deadline.keeping(HANDOVER).run(SEND_TIMEOUT, self.messenger.send(&part)).await;
            match sent.unwrap_or(Err(GraphError::Lost)) {
                Ok(answer) => {
                    let duration_ms = milliseconds_since(start);
                    let shown = answer.as_ref().map(|wamid| ShortWamid::field(wamid.as_str()));
                    info!(wamid, answer = shown, phone_number_id = %from, duration_ms, "answer sent");
                    self.worked.add(from);
                    wamids.extend(answer);
                }
                Err(cause) => {
                    if cause == GraphError::Lost {
                        error!(counter = Counter::SecondEchoRisk.name(), wamid, %cause, "perhaps sent, and will be sent again");
                    }
                    let how_far = match slowest {
                        Some(_) => HowFar::Partly(rest, Stop::Error(cause)),
                        None => HowFar::Nothing(cause),
                    };
                    return Sent { wamids, how_far };
                }
            }
            slowest = slowest.max(Some(start.elapsed()));
            rest = after;
        }
        Sent { wamids, how_far: HowFar::Whole }
    }
}
