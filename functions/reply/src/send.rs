//! An answer goes out, in as many parts as it needs.

use tracing::{error, info};

use crate::database::Database;
use crate::failure::Failure;
use crate::graph::{Class, GraphError, Messenger, PhoneNumberId, Text};
use crate::handler::Reply;
use crate::incoming::Sender;
use crate::queues::Queues;
use crate::responder::Responder;
use crate::split;

/// Who answers whom, and what.
#[derive(Clone, Copy)]
pub(crate) struct Route<'a> {
    /// The business number.
    pub(crate) from: &'a PhoneNumberId,
    /// The person.
    pub(crate) to: &'a Sender,
    /// The message that is answered.
    pub(crate) wamid: &'a str,
}

/// How far an answer came.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Sent<'t> {
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
        let quotes = Some(wamid).filter(|wamid| !wamid.is_empty());
        let mut rest = text.trim();
        let mut begun = false;
        while !rest.is_empty() {
            let (body, after) = split::first(rest);
            match self.messenger.send(&Text { from, to, body, quotes }).await {
                Ok(answer) => info!(wamid, answer, phone_number_id = %from, "answer sent"),
                Err(cause) => {
                    if cause == GraphError::Lost {
                        error!(counter = "second_echo_risk", wamid, %cause, "perhaps sent, and will be sent again");
                    }
                    return match cause.class() {
                        _ if begun => Ok(Sent::Partly(rest, cause)),
                        Class::Final => Ok(Sent::Refused(cause)),
                        _ => Err(Failure::NotSent(cause)),
                    };
                }
            }
            begun = true;
            rest = after;
        }
        Ok(Sent::Whole)
    }
}
