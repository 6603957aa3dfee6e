//! One message: who wrote it, whether it was answered, what to answer, send, record.

use shared::envelope::{Exchange, Line, Unsent};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::database::Database;
use crate::failure::Failure;
use crate::graph::{Class, GraphError, Messenger};
use crate::handler::Reply;
use crate::incoming::{Content, Incoming};
use crate::queues::Queues;
use crate::responder::{Question, Responder};
use crate::send::{Route, Sent};

/// What became of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answered {
    /// It has an answer, whose rest is sent later if it is long, and its rows are written or will be.
    Yes,
    /// It had an answer before.
    Before,
    /// The responder had nothing to say.
    Silent,
    /// Nobody linked the sender's number: they were told how to register.
    Registration,
    /// It is not answered.
    Ignored(&'static str),
    /// Meta will never take the answer.
    Undeliverable(GraphError),
}

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Reply<D, M, Q, R> {
    /// Answers a message, unless it was answered before.
    pub(crate) async fn answer(
        &self,
        message: &Incoming,
        receive_count: u32,
        found: &mut Option<Uuid>,
    ) -> Result<Answered, Failure> {
        let Content::Text(text) = &message.content else {
            return Ok(Answered::Ignored("only text is answered yet"));
        };
        if let Some(reason) = message.unanswerable {
            return Ok(Answered::Ignored(reason));
        }
        let Some(sender) = &message.sender else { return Ok(Answered::Ignored("nothing says who sent it")) };
        let wamid = message.wamid.as_deref().unwrap_or_default();
        // A database that says nothing must not stop the answer: better a second one than none.
        let (user, recorded) =
            tokio::join!(self.database.find_user(sender), self.database.is_recorded(wamid));
        if let Err(cause) = &user {
            error!(counter = "failed_lookups", wamid, %cause, "not known whose number it is, answering all the same");
        }
        *found = user.as_ref().ok().copied().flatten();
        match &recorded {
            Ok(true) => return Ok(Answered::Before),
            Ok(false) => {}
            Err(cause) => {
                warn!(counter = "unchecked_answers", wamid, %cause, "perhaps answered before, answering all the same");
            }
        }
        if receive_count > 1 {
            // Returned by us, or left behind by a process that died: then only Meta knows how far it came.
            info!(counter = "repeated_attempts", wamid, receive_count, "delivered before, and not recorded");
        }
        let from = message.phone_number_id.as_ref().unwrap_or(&self.phone_number_id);
        let route = Route { from, to: sender, wamid };
        if let Ok(None) = user {
            return match self.send(route, &self.registration_text).await? {
                Sent::Whole => Ok(Answered::Registration),
                Sent::Refused(refusal) => Ok(Answered::Undeliverable(refusal)),
                Sent::Partly(_, cause) => {
                    // Nothing is written about nobody, not even how far the text came.
                    error!(counter = "second_echo_risk", wamid, %cause, "sent in part, and will be sent again");
                    Err(Failure::NotSent(cause))
                }
            };
        }
        let question = Question { message, text, user_id: *found };
        let answer =
            self.responder.respond(question).await.map_err(|cause| Failure::NoAnswer(cause.to_string()))?;
        let answer = answer.filter(|answer| !answer.trim().is_empty());
        let mut exchange = Exchange {
            wamid: wamid.to_owned(),
            question: Line { content: text.clone(), at: message.sent_at },
            answer: None,
            unanswered_because: None,
        };
        let Some(answer) = answer else {
            self.record(*found, sender, exchange).await?;
            return Ok(Answered::Silent);
        };
        let sent = self.send(route, &answer).await?;
        let at = (self.clock)();
        match sent {
            Sent::Whole => {
                exchange.answer = Some(Line { content: answer, at });
                self.record(*found, sender, exchange).await?;
                Ok(Answered::Yes)
            }
            Sent::Refused(refusal) => {
                exchange.unanswered_because = Some(refusal.to_string());
                self.record(*found, sender, exchange).await?;
                Ok(Answered::Undeliverable(refusal))
            }
            Sent::Partly(rest, cause) if cause.class() == Class::Final => {
                let received = answer.trim_end().strip_suffix(rest).unwrap_or(&answer).trim_end();
                exchange.answer = Some(Line { content: received.to_owned(), at });
                self.record(*found, sender, exchange).await?;
                Ok(Answered::Undeliverable(cause))
            }
            Sent::Partly(rest, cause) => {
                // All of it again would be a second answer; the rest alone is a task, like rows are.
                let unsent = Unsent { from: from.to_string(), text: rest.to_owned() };
                warn!(counter = "deferred_answers", wamid, %cause, "the rest of the answer is sent later");
                exchange.answer = Some(Line { content: answer, at });
                self.record_later(*found, sender, exchange, Some(unsent)).await?;
                Ok(Answered::Yes)
            }
        }
    }
}

impl Answered {
    /// The outcome's name, and why where that is not plain.
    pub(crate) fn describe(&self, content: &Content) -> (&'static str, Option<String>) {
        match self {
            Self::Yes => ("answered", None),
            Self::Before => ("answered_before", Some("its rows are written".to_owned())),
            Self::Silent => ("silent", Some("the responder had nothing to say".to_owned())),
            Self::Registration => ("registration_sent", Some("nobody linked this number".to_owned())),
            Self::Undeliverable(refusal) => ("undeliverable", Some(refusal.to_string())),
            Self::Ignored(reason) => match content {
                Content::Other(kind) => ("ignored", Some(format!("type {kind}: {reason}"))),
                Content::Text(_) => ("ignored", Some((*reason).to_owned())),
            },
        }
    }
}
