//! One message: who wrote it, whether it was answered, what to answer, send, record.

use std::time::Duration;

use shared::deadline::Deadline;
use shared::envelope::{Exchange, Line, Unsent};
use shared::logging::ShortWamid;
use shared::metrics::{self, timed};
use shared::sender::Sender;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::failure::Failure;
use crate::graph::{Messenger, Recipient, SEND_TIMEOUT};
use crate::handler::Reply;
use crate::incoming::Incoming;
use crate::queues::Queues;
use crate::record::{Stored, received};
use crate::responder::{Question, Responder};
use crate::send::{HANDOVER, HowFar, Owner, Route, Sent};
use crate::users::{self, Author, LEARN_TIMEOUT, Linked, Missing};

/// Why a message of a loop is not answered.
const SILENCED: &str = "its sender seems to be automatic: too many answers within five minutes";

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
    /// Meta will never take the answer, for this reason.
    Undeliverable(String),
    /// It is not answered, because its sender seems to answer each answer.
    Silenced,
    /// Its rows are dropped, for this reason.
    Dropped(&'static str),
}

impl<D: Database, M: Messenger, Q: Queues, R: Responder> Reply<D, M, Q, R> {
    /// Answers and records a message, unless that was done before.
    pub(crate) async fn answer(
        &self,
        message: &Incoming,
        sender: &Sender,
        attempt: Attempt,
        found: &mut Option<Uuid>,
    ) -> Result<Answered, Failure> {
        let key = message.key.as_str();
        let wamid = message.wamid.as_deref().map(ShortWamid::field);
        let author = message.author(sender);
        // A database that says nothing must not stop the answer: better a second one than none.
        let limit = attempt.deadline.keeping(HANDOVER);
        let asked = async {
            tokio::join!(
                within(limit, users::TIMEOUT, self.database.find_user(&author)),
                within(limit, users::TIMEOUT, self.database.is_recorded(key))
            )
        };
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
        let Attempt { receive_count, deadline } = attempt;
        if receive_count > 1 {
            // Returned by us, or left behind by a process that died: then only Meta knows how far it came.
            info!(counter = "repeated_attempts", wamid, receive_count, "delivered before, and not recorded");
        }
        let unanswerable = self.unanswerable(message);
        if let Ok(None) = user {
            return match unanswerable {
                None if message.content.is_conversation() && message.group_id.is_none() => {
                    self.tell_how_to_register(message, sender, attempt).await
                }
                _ => Ok(Answered::Ignored("nobody linked this sender, and it is nothing to answer")),
            };
        }
        let answered = self.answer_and_record(message, &author, *found, unanswerable, attempt).await?;
        if let Some(Linked { user_id, missing: Some(missing) }) = linked {
            self.learn(user_id, missing, &author, message, deadline).await;
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

    async fn tell_how_to_register(
        &self,
        message: &Incoming,
        sender: &Sender,
        attempt: Attempt,
    ) -> Result<Answered, Failure> {
        let from = message.phone_number_id.as_ref().unwrap_or(&self.phone_number_id);
        let conversation = self.memory.key(from, sender);
        if self.memory.is_loop(conversation) {
            self.memory.turn(conversation, message.sent_at, None);
            return Ok(Answered::Silenced);
        }
        self.mark_seen(message, attempt.deadline).await;
        let route = Route { from, to: Recipient::Person(sender), wamid: message.wamid.as_deref() };
        let began = (self.clock)();
        match self.send(route, &self.registration_text, attempt.deadline).await.how_far {
            // A variable of Lambda's, which holds 4 KB at most, is always one part.
            HowFar::Whole | HowFar::Partly(..) => {
                self.memory.turn(conversation, message.sent_at, Some(began));
                Ok(Answered::Registration)
            }
            HowFar::Nothing(cause) if self.is_worth_a_retry(&cause, from, Owner::Unlinked, attempt).await => {
                Err(Failure::NotSent(cause))
            }
            HowFar::Nothing(refusal) => Ok(Answered::Undeliverable(refusal.to_string())),
        }
    }

    async fn answer_and_record(
        &self,
        message: &Incoming,
        author: &Author,
        user_id: Option<Uuid>,
        unanswerable: Option<&'static str>,
        attempt: Attempt,
    ) -> Result<Answered, Failure> {
        let deadline = attempt.deadline;
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
            self.mark_seen(message, deadline).await;
            let stored = self.record(user_id, author, exchange, deadline).await?;
            return Ok(Answered::Recorded(reason).unless_dropped(stored));
        }
        let conversation = self.memory.key(from, &author.sender);
        if self.memory.is_loop(conversation) {
            self.memory.turn(conversation, message.sent_at, None);
            exchange.unanswered_because = Some(SILENCED.to_owned());
            let stored = self.record(user_id, author, exchange, deadline).await?;
            return Ok(Answered::Silenced.unless_dropped(stored));
        }
        let question = Question { message, user_id };
        let limit = deadline.keeping(SEND_TIMEOUT + HANDOVER);
        let responding = limit.run(Duration::MAX, self.responder.respond(question));
        // Seen before it is answered, which takes away the sign that an answer is being written.
        let (answer, ()) = tokio::join!(timed("respond_ms", responding), self.mark_seen(message, deadline));
        let answer = match answer {
            Ok(answer) => answer.map_err(|cause| Failure::NoAnswer(cause.to_string()))?,
            Err(_) => return Err(Failure::NoAnswer("the responder took too long".to_owned())),
        };
        let Some(answer) = answer.filter(|answer| !answer.trim().is_empty()) else {
            let stored = self.record(user_id, author, exchange, deadline).await?;
            return Ok(Answered::Recorded("the responder had nothing to say").unless_dropped(stored));
        };
        let to = message.group_id.as_deref().map_or(Recipient::Person(&author.sender), Recipient::Group);
        let route = Route { from, to, wamid: message.wamid.as_deref() };
        // An automatic answer to it may arrive before the Graph API says that it was sent.
        let began = (self.clock)();
        let Sent { wamids, how_far } = self.send(route, &answer, deadline).await;
        let at = (self.clock)();
        exchange.answer_wamids = wamids;
        if !matches!(how_far, HowFar::Nothing(_)) {
            metrics::record("receipt_to_echo_ms", (at - message.received_at).to_std().unwrap_or_default());
            self.memory.turn(conversation, message.sent_at, Some(began));
        }
        let answered = match how_far {
            HowFar::Whole => {
                exchange.answer = Some(Line { content: answer, at });
                Answered::Yes
            }
            HowFar::Nothing(cause) => {
                let owner = user_id.map_or(Owner::Unknown, Owner::User);
                if self.is_worth_a_retry(&cause, from, owner, attempt).await {
                    return Err(Failure::NotSent(cause));
                }
                exchange.unanswered_because = Some(cause.to_string());
                Answered::Undeliverable(cause.to_string())
            }
            HowFar::Partly(rest, stop) if stop.is_final() => {
                exchange.answer = Some(Line { content: received(&answer, rest).to_owned(), at });
                Answered::Undeliverable(stop.to_string())
            }
            HowFar::Partly(rest, stop) => {
                // All of it again would be a second answer; the rest alone is a task, like rows are.
                let group_id = message.group_id.clone();
                let unsent = Unsent { from: from.to_string(), group_id, text: rest.to_owned() };
                let wamid = ShortWamid::field(&message.key);
                warn!(counter = "deferred_answers", wamid, cause = %stop, "the rest of the answer is sent later");
                exchange.answer = Some(Line { content: answer, at });
                self.record_later(user_id, author, exchange, Some(unsent), deadline).await?;
                return Ok(Answered::Yes);
            }
        };
        Ok(answered.unless_dropped(self.record(user_id, author, exchange, deadline).await?))
    }

    /// Links the number or the user id that a linked person wrote with and that was not known before.
    async fn learn(
        &self,
        user_id: Uuid,
        missing: Missing,
        author: &Author,
        message: &Incoming,
        deadline: Deadline,
    ) {
        let wamid = ShortWamid::of(&message.key);
        let learning = self.database.learn(user_id, missing, author, message.sent_at);
        // If not now, then with the next message, which says the same.
        match deadline.run(LEARN_TIMEOUT, learning).await {
            Ok(Ok(true)) => {
                info!(counter = "learned_identities", %wamid, %user_id, "link completed with number, user id or account");
            }
            Ok(Ok(false)) => info!(%wamid, %user_id, "link not completed: it has changed meanwhile"),
            Ok(Err(cause)) => {
                warn!(counter = "unlearned_identities", %wamid, %user_id, %cause, "link not completed yet");
            }
            Err(_) => {
                warn!(counter = "unlearned_identities", %wamid, %user_id, "link not completed yet: too slow");
            }
        }
    }
}

impl Answered {
    /// The same, unless its rows were dropped.
    fn unless_dropped(self, stored: Stored) -> Self {
        match stored {
            Stored::Rows | Stored::Later => self,
            Stored::Dropped(reason) => Self::Dropped(reason),
        }
    }

    /// The outcome's name, and why where that is not plain.
    pub(crate) fn describe(&self) -> (&'static str, Option<String>) {
        match self {
            Self::Yes => ("answered", None),
            Self::Before => ("answered_before", Some("its rows are written".to_owned())),
            Self::Recorded(reason) => ("recorded", Some((*reason).to_owned())),
            Self::Registration => ("registration_sent", Some("nobody linked this sender".to_owned())),
            Self::Undeliverable(refusal) => ("undeliverable", Some(refusal.clone())),
            Self::Silenced => ("silenced", Some(SILENCED.to_owned())),
            Self::Dropped(reason) => ("dropped", Some((*reason).to_owned())),
            Self::Ignored(reason) => ("ignored", Some((*reason).to_owned())),
        }
    }
}
