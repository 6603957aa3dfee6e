//! An answer goes out, in as many parts as it needs.

use shared::logging::ShortWamid;
use shared::metrics::milliseconds_since;
use tokio::time::Instant;
use tracing::{error, info};

use crate::database::Database;
use crate::failure::Failure;
use crate::graph::{Class, GraphError, Messenger, PhoneNumberId, Recipient, Text};
use crate::handler::Reply;
use crate::queues::Queues;
use crate::responder::Responder;
use crate::split;

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
    Partly(&'t str, GraphError),
    /// Nothing is, and Meta will never take it.
    Refused(GraphError),
}

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Reply<D, M, Q, R> {
    /// Sends `text`.
    ///
    /// # Errors
    /// When nothing of it was sent, and it can be tried again.
    pub(crate) async fn send<'t>(&self, route: Route<'_>, text: &'t str) -> Result<Sent<'t>, Failure> {
        let Route { from, to, wamid } = route;
        let quotes = wamid;
        let wamid = quotes.map(ShortWamid::field);
        let mut rest = text.trim();
        let mut begun = false;
        let mut wamids = Vec::new();
        while !rest.is_empty() {
            let (body, after) = split::first(rest);
            let start = Instant::now();
            match self.messenger.send(&Text { from, to, body, quotes }).await {
                Ok(answer) => {
                    let duration_ms = milliseconds_since(start);
                    let shown = answer.as_deref().map(ShortWamid::field);
                    info!(wamid, answer = shown, phone_number_id = %from, duration_ms, "answer sent");
                    wamids.extend(answer);
                }
                Err(cause) => {
                    if cause == GraphError::Lost {
                        error!(counter = "second_echo_risk", wamid, %cause, "perhaps sent, and will be sent again");
                    }
                    let how_far = match cause.class() {
                        _ if begun => HowFar::Partly(rest, cause),
                        Class::Final => HowFar::Refused(cause),
                        _ => return Err(Failure::NotSent(cause)),
                    };
                    return Ok(Sent { wamids, how_far });
                }
            }
            begun = true;
            rest = after;
        }
        Ok(Sent { wamids, how_far: HowFar::Whole })
    }
}
