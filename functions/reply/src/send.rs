//! An answer goes out, in as many parts as it needs and as the invocation has time for.

use std::fmt;
use std::time::Duration;

use shared::deadline::Deadline;
use shared::logging::ShortWamid;
use shared::metrics::milliseconds_since;
use tokio::time::Instant;
use tracing::{error, info};
use uuid::Uuid;

use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::graph::{Class, GraphError, Messenger, PhoneNumberId, Recipient, SEND_TIMEOUT, Text};
use crate::handler::Reply;
use crate::queues::Queues;
use crate::responder::Responder;
use crate::{split, users};

/// What is kept of an invocation's time for recording what was sent, or for handing it over to the record queue.
pub(crate) const HANDOVER: Duration = Duration::from_secs(2);

/// No later part of an answer is begun with less time than this.
const SHORTEST_SEND: Duration = Duration::from_secs(1);

/// Receives after which an answer is given up to which Meta says nothing that could be acted on.
const UNCLEAR_RECEIVES: u32 = 4;

/// Who answers whom, and what.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    /// The business number.
    pub(crate) from: &'a PhoneNumberId,
    /// The person, or the group that they wrote in.
    pub(crate) to: Recipient<'a>,
    /// The message that is answered.
    pub(crate) wamid: Option<&'a str>,
}

/// What was sent.
#[derive(Debug)]
pub(crate) struct Sent<'t> {
    /// Meta's ids of the parts that were, as far as Meta said them.
    pub(crate) wamids: Vec<String>,
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

/// Whose history an answer belongs to.
#[derive(Clone, Copy)]
pub(crate) enum Owner {
    /// This user's.
    User(Uuid),
    /// The sender is not linked.
    Unlinked,
    /// The database did not say.
    Unknown,
}

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Reply<D, M, Q, R> {
    /// Sends `text`. No part after the first is begun that may not end before `deadline`.
    pub(crate) async fn send<'t>(&self, route: Route<'_>, text: &'t str, deadline: Deadline) -> Sent<'t> {
        let Route { from, to, wamid } = route;
        let quotes = wamid;
        let wamid = quotes.map(ShortWamid::field);
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
                    let shown = answer.as_deref().map(ShortWamid::field);
                    info!(wamid, answer = shown, phone_number_id = %from, duration_ms, "answer sent");
                    self.memory.worked(from);
                    wamids.extend(answer);
                }
                Err(cause) => {
                    if cause == GraphError::Lost {
                        error!(counter = "second_echo_risk", wamid, %cause, "perhaps sent, and will be sent again");
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

    /// Whether an answer of which nothing was sent may be sent by a later attempt.
    pub(crate) async fn is_worth_a_retry(
        &self,
        cause: &GraphError,
        from: &PhoneNumberId,
        owner: Owner,
        attempt: Attempt,
    ) -> bool {
        match cause.class() {
            Class::Passing | Class::SlowDown | Class::Account => true,
            Class::Unclear => attempt.receive_count < UNCLEAR_RECEIVES,
            Class::Number => self.is_own_number(from, owner, attempt.deadline).await,
            Class::Final => false,
        }
    }

    /// Whether a business number is this account's: the one that is configured, or one that has worked, as far as this
    /// process or the user's history says. What the database does not say counts as yes: the message waits.
    async fn is_own_number(&self, number: &PhoneNumberId, owner: Owner, deadline: Deadline) -> bool {
        if *number == self.phone_number_id || self.memory.has_worked(number) {
            return true;
        }
        match owner {
            Owner::Unlinked => false,
            Owner::Unknown => true,
            Owner::User(user_id) => {
                let asked = self.database.has_answers_from(user_id, number);
                within(deadline.keeping(HANDOVER), users::TIMEOUT, asked).await.unwrap_or(true)
            }
        }
    }
}
