//! One message: who wrote it, what to answer, send, record.

use std::time::Instant;

use chrono::Utc;
use shared::envelope::{Envelope, UnreadableEnvelope, V1};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::graph::{Class, Graph, GraphError, PhoneNumberId, Text};
use crate::history::{Exchange, History};
use crate::incoming::{Content, Incoming, Sender};
use crate::responder::{Question, Responder};
use crate::users::{LookupError, Users};

/// The function: its clients and settings.
pub struct Reply<R> {
    /// Whose number it is.
    pub users: Users,
    /// Where exchanges are written.
    pub history: History,
    /// How answers are sent.
    pub graph: Graph,
    /// What to answer.
    pub responder: R,
    /// What a sender is told whose number belongs to nobody.
    pub registration_text: String,
    /// The business number that answers messages which do not say which number received them.
    pub phone_number_id: PhoneNumberId,
}

/// Why a message goes back to the queue.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another version's message, or not one of ours: kept, and in the end a dead letter.
    #[error(transparent)]
    Envelope(#[from] UnreadableEnvelope),
    /// The answer was not sent, and may be later.
    #[error("the answer was not sent: {cause}")]
    NotSent {
        /// The message.
        wamid: String,
        /// Why.
        cause: GraphError,
    },
    /// The responder has no answer yet.
    #[error("no answer yet: {cause}")]
    NoAnswer {
        /// The message.
        wamid: String,
        /// Why, in the responder's words.
        cause: String,
    },
}

/// What became of a message, for the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Answered,
    Silent,
    RegistrationSent,
    Ignored(&'static str),
    Undeliverable,
}

impl<R: Responder> Reply<R> {
    /// Handles one message of the inbound queue, and logs what became of it in one line.
    ///
    /// # Errors
    /// When the message must come again. Everything else, a refusal of Meta's for good or a database
    /// that is down, is logged and ends the message.
    pub async fn handle(&self, body: String) -> Result<(), Failure> {
        let start = Instant::now();
        let received = match Envelope::from_body(&body) {
            Ok(Envelope::V1(V1::Message(received))) => received,
            Err(cause) => {
                error!(counter = "unreadable_envelopes", outcome = "returned", reason = %cause, "message returned");
                return Err(cause.into());
            }
        };
        let message = Incoming::read(&received);
        let wamid = message.wamid.as_deref().unwrap_or_default();
        let result = self.answer(&message).await;
        let duration_ms = start.elapsed().as_millis();
        match result {
            Ok((outcome, user_id)) => {
                let (outcome, reason) = outcome.describe(&message.content);
                let user_id = user_id.map(tracing::field::display);
                info!(
                    counter = "handled_messages",
                    wamid, user_id, outcome, reason, duration_ms, "message handled"
                );
                Ok(())
            }
            Err(cause) => {
                error!(counter = "returned_messages", wamid, outcome = "returned", reason = %cause, duration_ms,
                    "message returned");
                Err(cause)
            }
        }
    }

    async fn answer(&self, message: &Incoming) -> Result<(Outcome, Option<Uuid>), Failure> {
        let Content::Text(text) = &message.content else {
            return Ok((Outcome::Ignored("only text is answered yet"), None));
        };
        let Some(sender) = &message.sender else {
            return Ok((Outcome::Ignored("nothing says who sent it"), None));
        };
        let wamid = message.wamid.as_deref().unwrap_or_default();
        let user = self.users.find(sender).await;
        let user_id = match &user {
            Ok(None) => return Ok((self.invite(message, sender).await?, None)),
            Ok(Some(user_id)) => Some(*user_id),
            Err(cause) => {
                warn!(counter = "failed_lookups", wamid, %cause, "user unknown for now, answering all the same");
                None
            }
        };
        let question = Question { message, text, user_id };
        let answer = self
            .responder
            .respond(question)
            .await
            .map_err(|cause| Failure::NoAnswer { wamid: wamid.to_owned(), cause: cause.to_string() })?;
        let answer = answer.filter(|answer| !answer.trim().is_empty());
        if let Some(answer) = &answer
            && !self.send(message, sender, answer).await?
        {
            return Ok((Outcome::Undeliverable, user_id));
        }
        let answered_at = Utc::now();
        let answer = answer.as_deref().map(|answer| (answer, answered_at));
        self.record(message, text, answer, user).await;
        Ok((if answer.is_some() { Outcome::Answered } else { Outcome::Silent }, user_id))
    }

    /// Tells a sender whose number belongs to nobody how to register. Nothing is written.
    async fn invite(&self, message: &Incoming, sender: &Sender) -> Result<Outcome, Failure> {
        let sent = self.send(message, sender, &self.registration_text).await?;
        Ok(if sent { Outcome::RegistrationSent } else { Outcome::Undeliverable })
    }

    /// Sends `text` in answer to `message`. `false` when Meta will never take it.
    async fn send(&self, message: &Incoming, sender: &Sender, text: &str) -> Result<bool, Failure> {
        let wamid = message.wamid.as_deref();
        let from = message.phone_number_id.as_ref().unwrap_or(&self.phone_number_id);
        let text = Text { from, to: sender, body: text, quotes: wamid };
        match self.graph.send(&text).await {
            Ok(sent) => {
                info!(wamid, answer = sent.as_deref(), phone_number_id = %from, "answer sent");
                Ok(true)
            }
            Err(cause) if cause.class() == Class::Final => {
                error!(counter = "undeliverable_answers", wamid, to = %sender, %cause, "answer refused for good");
                Ok(false)
            }
            Err(cause) => Err(Failure::NotSent { wamid: wamid.unwrap_or_default().to_owned(), cause }),
        }
    }

    /// Writes both rows. The person has the answer already: a failure is logged and ends there.
    async fn record(
        &self,
        message: &Incoming,
        text: &str,
        answer: Option<(&str, chrono::DateTime<Utc>)>,
        user: Result<Option<Uuid>, LookupError>,
    ) {
        let wamid = message.wamid.as_deref();
        let (Ok(Some(user_id)), Some(id)) = (user, wamid) else {
            error!(
                counter = "unrecorded_messages",
                wamid, "rows not written: the user or the wamid is unknown"
            );
            return;
        };
        let exchange = Exchange { user_id, wamid: id, question: (text, message.sent_at), answer };
        if let Err(cause) = self.history.record(&exchange).await {
            error!(counter = "unrecorded_messages", wamid, %user_id, %cause, "rows not written");
        }
    }
}

impl Outcome {
    /// The outcome's name, and why where that is not plain.
    fn describe(self, content: &Content) -> (&'static str, Option<String>) {
        match self {
            Self::Answered => ("answered", None),
            Self::Silent => ("silent", Some("the responder had nothing to say".to_owned())),
            Self::RegistrationSent => ("registration_sent", Some("nobody linked this number".to_owned())),
            Self::Undeliverable => ("undeliverable", Some("Meta refused the answer for good".to_owned())),
            Self::Ignored(reason) => match content {
                Content::Other(kind) => ("ignored", Some(format!("type {kind}: {reason}"))),
                Content::Text(_) => ("ignored", Some(reason.to_owned())),
            },
        }
    }
}
