//! The way of a message: who wrote it, whether it was answered, what to answer, send, record.

use std::time::Duration;

use shared::counter::Counter;
use shared::envelope::{Exchange, Line, Unsent};
use shared::logging::ShortWamid;
use shared::metrics::{self, timed};
use tracing::warn;

use crate::budget::HANDOVER;
use crate::database::Database;
use crate::delivery::Attempt;
use crate::failure::Failure;
use crate::function::Reply;
use crate::graph::{Messenger, Recipient, SEND_TIMEOUT};
use crate::incoming::Incoming;
use crate::learn::learn;
use crate::lookup::{Owner, look_up};
use crate::outcome::{Handled, Outcome, Report};
use crate::queues::QueueClient;
use crate::read_receipts::mark_seen;
use crate::record::{Stored, received};
use crate::responder::{Question, Responder};
use crate::send::{HowFar, Route, Sent};
use crate::users::Author;

/// Why a message of a loop is not answered.
const SILENCED: &str = "its sender seems to be automatic: too many answers within five minutes";

impl<D: Database, M: Messenger, Q: QueueClient, R: Responder> Reply<D, M, Q, R> {
    /// Answers and records a message, unless that was done before.
    pub(crate) async fn answer(&self, message: &Incoming, attempt: Attempt) -> Report {
        let author = message.author();
        let (owner, is_recorded) = look_up(&self.database, &message.key, &author, attempt).await;
        let result = match owner {
            _ if is_recorded => Ok(Outcome::AnsweredBefore.because("its rows are written")),
            Owner::Unlinked => self.answer_unlinked(message, attempt).await,
            Owner::User(_) | Owner::Unknown => self.answer_and_record(message, &author, owner, attempt).await,
        };
        if let (Owner::User(linked), false, Ok(_)) = (owner, is_recorded, &result) {
            learn(&self.database, linked, &author, &message.key, message.sent_at, attempt.deadline).await;
        }
        if let Ok(Handled { outcome: Outcome::Undeliverable, .. }) = result {
            let (wamid, to) = (message.short_wamid(), &message.sender);
            warn!(counter = Counter::UndeliverableAnswers.name(), wamid, %to, "answer refused permanently");
        }
        Report { user_id: owner.user_id(), result }
    }

    /// Tells an unlinked sender how to register, when they are saying something to the business.
    async fn answer_unlinked(&self, message: &Incoming, attempt: Attempt) -> Result<Handled, Failure> {
        let is_answerable = message.content.is_conversation() && message.group_id.is_none();
        if !is_answerable || self.unanswerable(message).is_some() {
            return Ok(Outcome::Ignored.because("nobody linked this sender, and it is nothing to answer"));
        }
        let from = self.number_for(message);
        let conversations = &self.memory.conversations;
        let conversation = conversations.key(from, &message.sender);
        if conversations.is_loop(conversation) {
            conversations.turn(conversation, message.sent_at, None);
            return Ok(Outcome::Silenced.because(SILENCED));
        }
        mark_seen(&self.messenger, self.read_receipts, message, from, attempt.deadline).await;
        let route = Route { from, to: Recipient::Person(&message.sender), wamid: message.key.wamid() };
        let began = (self.clock)();
        match self.outbox().send(route, &self.registration_text, attempt.deadline).await.how_far {
            // A variable of Lambda's, which holds 4 KB at most, is always one part.
            HowFar::Whole | HowFar::Partly(..) => {
                conversations.turn(conversation, message.sent_at, Some(began));
                Ok(Outcome::RegistrationSent.because("nobody linked this sender"))
            }
            HowFar::Nothing(cause)
                if self.own_numbers().may_retry(&cause, from, Owner::Unlinked, attempt).await =>
            {
                Err(Failure::NotSent(cause))
            }
            HowFar::Nothing(refusal) => Ok(Outcome::Undeliverable.because(refusal.to_string())),
        }
    }

    /// Why a message must not be answered, whatever it holds.
    fn unanswerable(&self, message: &Incoming) -> Option<&'static str> {
        if !message.is_ours {
            // Such as `standby`, where another app has the conversation, and `history`.
            return Some("it came in another webhook field than messages");
        }
        (message.group_id.is_some() && !self.answers_groups).then_some("messages of groups are not answered")
    }

    /// Answers a message whose sender is linked, or may be, and records both.
    async fn answer_and_record(
        &self,
        message: &Incoming,
        author: &Author,
        owner: Owner,
        attempt: Attempt,
    ) -> Result<Handled, Failure> {
        let (user_id, deadline) = (owner.user_id(), attempt.deadline);
        let (from, recorder) = (self.number_for(message), self.recorder());
        let mut exchange = unanswered(message, from.to_string());
        let record = async |handled: Handled, exchange| {
            let stored = recorder.record(user_id, author, exchange, deadline).await?;
            Ok(unless_dropped(handled, stored))
        };

        if let Some(reason) = self.unanswerable(message) {
            mark_seen(&self.messenger, self.read_receipts, message, from, deadline).await;
            return record(Outcome::Recorded.because(reason), exchange).await;
        }
        let conversations = &self.memory.conversations;
        let conversation = conversations.key(from, &author.sender);
        if conversations.is_loop(conversation) {
            conversations.turn(conversation, message.sent_at, None);
            exchange.unanswered_because = Some(SILENCED.to_owned());
            return record(Outcome::Silenced.because(SILENCED), exchange).await;
        }

        let Some(answer) = self.respond(message, owner, attempt).await? else {
            return record(Outcome::Recorded.because("the responder had nothing to say"), exchange).await;
        };

        let to = message.group_id.as_deref().map_or(Recipient::Person(&author.sender), Recipient::Group);
        let route = Route { from, to, wamid: message.key.wamid() };
        // An automatic answer to it may arrive before the Graph API says that it was sent.
        let began = (self.clock)();
        let Sent { wamids, how_far } = self.outbox().send(route, &answer, deadline).await;
        let at = (self.clock)();
        exchange.answer_wamids = wamids;
        if !matches!(how_far, HowFar::Nothing(_)) {
            metrics::record("receipt_to_echo_ms", (at - message.received_at).to_std().unwrap_or_default());
            conversations.turn(conversation, message.sent_at, Some(began));
        }

        let handled = match how_far {
            HowFar::Whole => {
                exchange.answer = Some(Line { content: answer, at });
                Outcome::Answered.into()
            }
            HowFar::Nothing(cause) if self.own_numbers().may_retry(&cause, from, owner, attempt).await => {
                return Err(Failure::NotSent(cause));
            }
            HowFar::Nothing(refusal) => {
                exchange.unanswered_because = Some(refusal.to_string());
                Outcome::Undeliverable.because(refusal.to_string())
            }
            HowFar::Partly(rest, stop) if stop.is_final() => {
                exchange.answer = Some(Line { content: received(&answer, rest).to_owned(), at });
                Outcome::Undeliverable.because(stop.to_string())
            }
            HowFar::Partly(rest, stop) => {
                // All of it again would be a second answer; the rest alone is a task, like rows are.
                let group_id = message.group_id.clone();
                let unsent = Unsent { from: from.to_string(), group_id, text: rest.to_owned() };
                let wamid = ShortWamid::field(message.key.as_str());
                warn!(counter = Counter::DeferredAnswers.name(), wamid, cause = %stop, "the rest of the answer is sent later");
                exchange.answer = Some(Line { content: answer, at });
                recorder.record_later(user_id, author, exchange, Some(unsent), deadline).await?;
                return Ok(Outcome::Answered.into());
            }
        };
        record(handled, exchange).await
    }

    /// The answer to a message, which is marked as read meanwhile; `None` to stay silent.
    async fn respond(
        &self,
        message: &Incoming,
        owner: Owner,
        attempt: Attempt,
    ) -> Result<Option<String>, Failure> {
        let question = Question { message, user_id: owner.user_id() };
        let limit = attempt.deadline.keeping(SEND_TIMEOUT + HANDOVER);
        let responding = limit.run(Duration::MAX, self.responder.respond(question));
        let from = self.number_for(message);
        // Seen before it is answered, which takes away the sign that an answer is being written.
        let (answer, ()) = tokio::join!(
            timed("respond_ms", responding),
            mark_seen(&self.messenger, self.read_receipts, message, from, attempt.deadline)
        );
        match answer {
            Ok(Ok(answer)) => Ok(answer.filter(|answer| !answer.trim().is_empty())),
            Ok(Err(cause)) => Err(Failure::NoAnswer(cause.to_string())),
            Err(_) => Err(Failure::NoAnswer("the responder took too long".to_owned())),
        }
    }
}

/// What is recorded of a message that has no answer yet.
fn unanswered(message: &Incoming, phone_number_id: String) -> Exchange {
    Exchange {
        key: message.key.clone(),
        phone_number_id: Some(phone_number_id),
        question: Line { content: message.content.text(&message.kind), at: message.sent_at },
        kind: Some(message.kind.clone()),
        refers_to: message.content.refers_to().cloned(),
        payload: Some(message.payload.clone()),
        answer: None,
        answer_wamids: Vec::new(),
        unanswered_because: None,
    }
}

/// What became of a message, unless its rows were dropped.
fn unless_dropped(handled: Handled, stored: Stored) -> Handled {
    match stored {
        Stored::Rows | Stored::Later => handled,
        Stored::Dropped(reason) => Outcome::Dropped.because(reason),
    }
}
