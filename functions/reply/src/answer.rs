//! One message: who wrote it, whether it was answered, what to answer, send, record.

use shared::envelope::{Exchange, Line};
use tracing::{info, warn};
use uuid::Uuid;

use crate::database::Database;
use crate::failure::Failure;
use crate::graph::{Class, GraphError, Messenger, Text};
use crate::handler::Reply;
use crate::incoming::{Content, Incoming, Sender};
use crate::queues::Queues;
use crate::responder::{Question, Responder};
use crate::split::split;

/// What became of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answered {
    /// It has an answer, and its rows are written or will be.
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
        if let Ok(None) = user {
            return match self.send(message, sender, &self.registration_text).await? {
                None => Ok(Answered::Registration),
                Some(refusal) => Ok(Answered::Undeliverable(refusal)),
            };
        }
        let question = Question { message, text, user_id: *found };
        let answer =
            self.responder.respond(question).await.map_err(|cause| Failure::NoAnswer(cause.to_string()))?;
        let answer = answer.filter(|answer| !answer.trim().is_empty());
        let refusal = match &answer {
            Some(answer) => self.send(message, sender, answer).await?,
            None => None,
        };
        let exchange = Exchange {
            wamid: wamid.to_owned(),
            question: Line { content: text.clone(), at: message.sent_at },
            answer: answer.filter(|_| refusal.is_none()).map(|content| Line { content, at: (self.clock)() }),
            unanswered_because: refusal.as_ref().map(ToString::to_string),
        };
        let answered = match (refusal, &exchange.answer) {
            (Some(refusal), _) => Answered::Undeliverable(refusal),
            (None, Some(_)) => Answered::Yes,
            (None, None) => Answered::Silent,
        };
        self.record(*found, sender, exchange).await?;
        Ok(answered)
    }

    /// Sends `text` in answer to `message`, in as many parts as it needs. `Some` when Meta will never take it.
    async fn send(
        &self,
        message: &Incoming,
        sender: &Sender,
        text: &str,
    ) -> Result<Option<GraphError>, Failure> {
        let wamid = message.wamid.as_deref();
        let from = message.phone_number_id.as_ref().unwrap_or(&self.phone_number_id);
        for (position, body) in split(text).into_iter().enumerate() {
            match self.messenger.send(&Text { from, to: sender, body, quotes: wamid }).await {
                Ok(sent) => info!(wamid, answer = sent, phone_number_id = %from, "answer sent"),
                Err(refusal) if refusal.class() == Class::Final => return Ok(Some(refusal)),
                Err(cause) => {
                    if position > 0 || cause == GraphError::Lost {
                        warn!(counter = "second_echo_risk", wamid, %cause, "perhaps sent, and will be sent again");
                    }
                    return Err(Failure::NotSent(cause));
                }
            }
        }
        Ok(None)
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
