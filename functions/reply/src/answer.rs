//! One message: who wrote it, whether it was answered, what to answer, send, record.

use std::time::Duration;

use shared::envelope::{Exchange, Line, Unsent};
use shared::logging::ShortWamid;
use shared::metrics::{self, timed};
use shared::sender::Sender;
use tokio::time::timeout;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::database::Database;
use crate::failure::Failure;
use crate::graph::{Class, GraphError, Messenger, Recipient};
use crate::handler::Reply;
use crate::incoming::Incoming;
use crate::queues::Queues;
use crate::record::received;
use crate::responder::{Question, Responder};
use crate::send::{HowFar, Route, Sent};
use crate::users::Linked;

/// How long linking what was learned may take.
const LEARN_TIMEOUT: Duration = Duration::from_secs(2);

/// What became of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answered {
    /// It has an answer, whose rest is sent later if it is long, and its rows are written or will be.
    Yes,
    /// It had an answer before, or was recorded before.
    Before,
    /// It is recorded and has no answer, for this reason.
    Recorded(&'static str),
    /// Nobody linked the sender's number: they were told how to register.
    Registration,
    /// Nothing is written about it, for this reason.
    Ignored(&'static str),
    /// Meta will never take the answer.
    Undeliverable(GraphError),
}

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Reply<D, M, Q, R> {
    /// Answers and records a message, unless that was done before.
    pub(crate) async fn answer(
        &self,
        message: &Incoming,
        sender: &Sender,
        receive_count: u32,
        found: &mut Option<Uuid>,
    ) -> Result<Answered, Failure> {
        let key = message.key.as_str();
        let wamid = message.wamid.as_deref().map(ShortWamid::field);
        // A database that says nothing must not stop the answer: better a second one than none.
        let asked = async { tokio::join!(self.database.find_user(sender), self.database.is_recorded(key)) };
        let (user, recorded) = timed("lookup_ms", asked).await;
        if let Err(cause) = &user {
            error!(counter = "failed_lookups", wamid, %cause, "not known whose number it is, answering all the same");
        }
        let linked = user.as_ref().ok().copied().flatten();
        *found = linked.map(|linked| linked.user_id);
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
        let unanswerable = self.unanswerable(message);
        if let Ok(None) = user {
            return match unanswerable {
                None if message.content.is_conversation() && message.group_id.is_none() => {
                    self.tell_how_to_register(message, sender).await
                }
                _ => Ok(Answered::Ignored("nobody linked this sender, and it is nothing to answer")),
            };
        }
        let answered = self.answer_and_record(message, sender, *found, unanswerable).await?;
        if let Some(Linked { user_id, learns: true }) = linked {
            self.learn(user_id, sender, ShortWamid::of(key)).await;
        }
        Ok(answered)
    }

    /// Why a message must not be answered, whatever it holds.
    fn unanswerable(&self, message: &Incoming) -> Option<&'static str> {
        if !message.is_ours {
            // Such as `standby`, where another app has the conversation, and `history`.
            return Some("it came in another webhook field than messages");
        }
        (message.group_id.is_some() && !self.answers_groups).then_some("messages of groups are not answered")
    }

    async fn tell_how_to_register(&self, message: &Incoming, sender: &Sender) -> Result<Answered, Failure> {
        self.mark_seen(message).await;
        let from = message.phone_number_id.as_ref().unwrap_or(&self.phone_number_id);
        let route = Route { from, to: Recipient::Person(sender), wamid: message.wamid.as_deref() };
        match self.send(route, &self.registration_text).await?.how_far {
            HowFar::Whole => Ok(Answered::Registration),
            HowFar::Refused(refusal) => Ok(Answered::Undeliverable(refusal)),
            HowFar::Partly(_, cause) => {
                // Nothing is written about nobody, not even how far the text came.
                let wamid = message.wamid.as_deref().map(ShortWamid::field);
                error!(counter = "second_echo_risk", wamid, %cause, "sent in part, and will be sent again");
                Err(Failure::NotSent(cause))
            }
        }
    }

    async fn answer_and_record(
        &self,
        message: &Incoming,
        sender: &Sender,
        user_id: Option<Uuid>,
        unanswerable: Option<&'static str>,
    ) -> Result<Answered, Failure> {
        let from = message.phone_number_id.as_ref().unwrap_or(&self.phone_number_id);
        let mut exchange = Exchange {
            wamid: message.key.clone(),
            phone_number_id: Some(from.to_string()),
            question: Line { content: message.content.text(&message.kind), at: message.sent_at },
            kind: Some(message.kind.clone()),
            refers_to: message.content.refers_to().map(str::to_owned),
            payload: Some(message.payload.clone()),
            answer: None,
            answer_wamids: Vec::new(),
            unanswered_because: None,
        };
        if let Some(reason) = unanswerable {
            self.mark_seen(message).await;
            self.record(user_id, sender, exchange).await?;
            return Ok(Answered::Recorded(reason));
        }
        let question = Question { message, user_id };
        // Seen before it is answered, which takes away the sign that an answer is being written.
        let (answer, ()) =
            tokio::join!(timed("respond_ms", self.responder.respond(question)), self.mark_seen(message));
        let answer = answer.map_err(|cause| Failure::NoAnswer(cause.to_string()))?;
        let Some(answer) = answer.filter(|answer| !answer.trim().is_empty()) else {
            self.record(user_id, sender, exchange).await?;
            return Ok(Answered::Recorded("the responder had nothing to say"));
        };
        let to = message.group_id.as_deref().map_or(Recipient::Person(sender), Recipient::Group);
        let route = Route { from, to, wamid: message.wamid.as_deref() };
        let Sent { wamids, how_far } = self.send(route, &answer).await?;
        let at = (self.clock)();
        metrics::record("receipt_to_echo_ms", (at - message.received_at).to_std().unwrap_or_default());
        exchange.answer_wamids = wamids;
        match how_far {
            HowFar::Whole => {
                exchange.answer = Some(Line { content: answer, at });
                self.record(user_id, sender, exchange).await?;
                Ok(Answered::Yes)
            }
            HowFar::Refused(refusal) => {
                exchange.unanswered_because = Some(refusal.to_string());
                self.record(user_id, sender, exchange).await?;
                Ok(Answered::Undeliverable(refusal))
            }
            HowFar::Partly(rest, cause) if cause.class() == Class::Final => {
                exchange.answer = Some(Line { content: received(&answer, rest).to_owned(), at });
                self.record(user_id, sender, exchange).await?;
                Ok(Answered::Undeliverable(cause))
            }
            HowFar::Partly(rest, cause) => {
                // All of it again would be a second answer; the rest alone is a task, like rows are.
                let group_id = message.group_id.clone();
                let unsent = Unsent { from: from.to_string(), group_id, text: rest.to_owned() };
                let wamid = ShortWamid::field(&message.key);
                warn!(counter = "deferred_answers", wamid, %cause, "the rest of the answer is sent later");
                exchange.answer = Some(Line { content: answer, at });
                self.record_later(user_id, sender, exchange, Some(unsent)).await?;
                Ok(Answered::Yes)
            }
        }
    }

    /// Links the number or the user id that a linked person wrote with and that was not known before.
    async fn learn(&self, user_id: Uuid, sender: &Sender, wamid: ShortWamid<'_>) {
        let learned = timeout(LEARN_TIMEOUT, self.database.learn(user_id, sender)).await;
        // If not now, then with the next message, which says the same.
        match learned {
            Ok(Ok(())) => {
                info!(counter = "learned_identities", %wamid, %user_id, "linked with both number and user id");
            }
            Ok(Err(cause)) => {
                warn!(counter = "unlearned_identities", %wamid, %user_id, %cause, "not linked yet")
            }
            Err(_) => warn!(counter = "unlearned_identities", %wamid, %user_id, "not linked yet: too slow"),
        }
    }
}

impl Answered {
    /// The outcome's name, and why where that is not plain.
    pub(crate) fn describe(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Yes => ("answered", None),
            Self::Before => ("answered_before", Some("its rows are written".to_owned())),
            Self::Recorded(reason) => ("recorded", Some((*reason).to_owned())),
            Self::Registration => ("registration_sent", Some("nobody linked this sender".to_owned())),
            Self::Undeliverable(refusal) => ("undeliverable", Some(refusal.to_string())),
            Self::Ignored(reason) => ("ignored", Some((*reason).to_owned())),
        }
    }
}
