//! The pipeline of a message: lookup of its user, deduplication, reply, send, record.

use std::time::Duration;

use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics::{self, timed};
use shared::meta::envelope::{Exchange, Line, Unsent};
use tracing::warn;

use crate::budget::HANDOVER;
use crate::complete_link::complete_link;
use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::failure::Failure;
use crate::function::Reply;
use crate::graph::{Messenger, Recipient, SEND_TIMEOUT};
use crate::incoming::Incoming;
use crate::linking::{self, Step};
use crate::links::{self, Tap};
use crate::lookup::{Owner, lookup};
use crate::notice::SILENCED;
use crate::outcome::{Handled, Outcome, Report};
use crate::queues::QueueClient;
use crate::read_receipts::mark_read;
use crate::record::{WriteOutcome, received};
use crate::responder::{Question, Responder};
use crate::send::{Progress, Route, Sent};
use crate::users::Author;

impl<D: Database, M: Messenger, Q: QueueClient, R: Responder> Reply<D, M, Q, R> {
    /// Answers and records a message, unless its rows are written already.
    pub(crate) async fn answer(&self, message: &Incoming, attempt: Attempt) -> Report {
        let (author, from) = (message.author(), self.number_for(message));
        let code = match Step::of(message) {
            Some(Step::Tap { link_id, accept }) => {
                let tap = Tap { link_id, accept, from, message };
                return linking::answer_tap(&self.database, tap, &self.notices(), attempt).await;
            }
            Some(Step::Code(code)) => Some(code),
            None => None,
        };
        let (claimed, (owner, is_recorded)) = tokio::join!(
            linking::claim(&self.database, code.as_ref(), from, message, attempt.deadline),
            lookup(&self.database, &message.key, &author, attempt)
        );
        match claimed {
            Ok(Some(claimed)) if !is_recorded => {
                let notices = self.notices();
                let answered = linking::answer_code(claimed, owner, message, from, &notices, attempt).await;
                if let Some(report) = answered {
                    return report;
                }
            }
            Ok(_) => {}
            Err(failure) => return failure.into(),
        }
        let result = match owner {
            _ if is_recorded => Ok(Outcome::AnsweredBefore.because("its rows are already written")),
            Owner::Unlinked => self.answer_unlinked(message, attempt).await,
            Owner::User(_) | Owner::Unknown => self.answer_and_record(message, &author, owner, attempt).await,
        };
        if let (Owner::User(linked), false, Ok(_)) = (owner, is_recorded, &result) {
            complete_link(&self.database, linked, &author, &message.key, message.sent_at, attempt.deadline)
                .await;
        }
        if let Ok(Handled { outcome: Outcome::Undeliverable, .. }) = result {
            let (wamid, to) = (message.short_wamid(), &message.sender);
            warn!(counter = Counter::UndeliverableAnswers.name(), wamid, %to, "Meta refused the reply permanently");
        }
        Report { user_id: owner.user_id(), result }
    }

    /// Sends the registration text to an unlinked sender, if the message is one that expects a reply.
    async fn answer_unlinked(&self, message: &Incoming, attempt: Attempt) -> Result<Handled, Failure> {
        let is_answerable = message.content.is_conversation() && message.group_id.is_none();
        if !is_answerable || self.unanswerable(message).is_some() {
            return Ok(
                Outcome::Ignored.because("its sender is unlinked, and a message of this kind gets no reply")
            );
        }
        let from = self.number_for(message);
        let is_configured = *from == self.phone_number_id;
        let number = message.business_number.as_ref().filter(|_| is_configured);
        let limit = attempt.deadline.keeping(HANDOVER);
        let claiming = self.database.claim_registration(from, message, number);
        match within(limit, links::TIMEOUT, claiming).await {
            Ok(true) => {}
            Ok(false) => {
                return Ok(Outcome::Ignored
                    .because("its sender is unlinked and was sent the registration text within 24 hours"));
            }
            Err(cause) => {
                let (counter, wamid) = (Counter::SkippedRegistrations.name(), message.short_wamid());
                warn!(counter, wamid, %cause, "registration text not sent: it is unknown whether its sender was sent one within 24 hours");
                return Ok(
                    Outcome::Ignored.because("its sender is unlinked, and the database is unavailable")
                );
            }
        }
        let sent = Outcome::RegistrationSent.because("its sender is unlinked");
        // The text comes from an environment variable. Lambda limits these to 4 KB, so it is always one part.
        let text = &self.registration_text;
        let handled = self.notices().send(message, from, text, &[], sent, attempt).await?;
        if handled.outcome == Outcome::RegistrationSent {
            let storing = self.database.registration_sent(from, message);
            if let Err(cause) = within(attempt.deadline, links::TIMEOUT, storing).await {
                let wamid = message.short_wamid();
                warn!(wamid, %cause, "registration text sent but not stored as sent: a redelivery would send it again");
            }
        }
        Ok(handled)
    }

    /// Returns the reason why a message must not be answered regardless of its content, if there is one.
    fn unanswerable(&self, message: &Incoming) -> Option<&'static str> {
        if !message.is_ours {
            // Such as `history`, and `standby`: there another app handles the conversation.
            return Some("it came in a webhook field other than messages");
        }
        (message.group_id.is_some() && !self.answers_groups).then_some("messages in groups are not answered")
    }

    /// Answers a message of a linked or possibly linked sender, and records both sides.
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
            let written = recorder.record(user_id, author, exchange, deadline).await?;
            Ok(unless_dropped(handled, written))
        };

        if let Some(reason) = self.unanswerable(message) {
            mark_read(&self.messenger, self.read_receipts, message, from, deadline).await;
            return record(Outcome::Recorded.because(reason), exchange).await;
        }
        let conversations = &self.memory.conversations;
        let conversation = conversations.key(from, &author.sender);
        if conversations.is_loop(conversation) {
            conversations.add_turn(conversation, message.sent_at, None);
            exchange.unanswered_because = Some(SILENCED.to_owned());
            return record(Outcome::Silenced.because(SILENCED), exchange).await;
        }

        let Some(answer) = self.respond(message, owner, attempt).await? else {
            return record(Outcome::Recorded.because("the responder returned no reply"), exchange).await;
        };

        let to = message.group_id.as_deref().map_or(Recipient::Person(&author.sender), Recipient::Group);
        let route = Route { from, to, wamid: message.key.wamid(), buttons: &[] };
        // Before the send: an automatic reply may arrive before the Graph API confirms the send.
        let send_started_at = (self.clock)();
        let Sent { wamids, progress } = self.outbox().send(route, &answer, deadline).await;
        let at = (self.clock)();
        exchange.answer_wamids = wamids;
        if !matches!(progress, Progress::Failed(_)) {
            metrics::record("receipt_to_reply_ms", (at - message.received_at).to_std().unwrap_or_default());
            conversations.add_turn(conversation, message.sent_at, Some(send_started_at));
        }

        let handled = match progress {
            Progress::Complete => {
                exchange.answer = Some(Line { content: answer, at });
                Outcome::Answered.into()
            }
            Progress::Failed(cause) if self.own_numbers().may_retry(&cause, from, owner, attempt).await => {
                return Err(Failure::NotSent(cause));
            }
            Progress::Failed(refusal) => {
                exchange.unanswered_because = Some(refusal.to_string());
                Outcome::Undeliverable.because(refusal.to_string())
            }
            Progress::Partial(rest, stop) if stop.is_permanent() => {
                exchange.answer = Some(Line { content: received(&answer, rest).to_owned(), at });
                Outcome::Undeliverable.because(stop.to_string())
            }
            Progress::Partial(rest, stop) => {
                // A redelivery would send the whole reply again. The rest alone becomes a record task, like rows.
                let group_id = message.group_id.clone();
                let unsent = Unsent { from: from.to_string(), group_id, text: rest.to_owned() };
                let wamid = ShortWamid::field(message.key.as_str());
                warn!(counter = Counter::DeferredAnswers.name(), wamid, cause = %stop, "reply sent in part: its rest is sent later");
                exchange.answer = Some(Line { content: answer, at });
                recorder.record_later(user_id, author, exchange, Some(unsent), deadline).await?;
                return Ok(Outcome::Answered.into());
            }
        };
        record(handled, exchange).await
    }

    /// Asks the responder for a reply and marks the message as read meanwhile. `None` means no reply.
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
        // The read receipt must precede the reply, because sending the reply ends the typing indicator.
        let (answer, ()) = tokio::join!(
            timed("respond_ms", responding),
            mark_read(&self.messenger, self.read_receipts, message, from, attempt.deadline)
        );
        match answer {
            Ok(Ok(answer)) => Ok(answer.filter(|answer| !answer.trim().is_empty())),
            Ok(Err(cause)) => Err(Failure::NoAnswer(cause.to_string())),
            Err(_) => Err(Failure::NoAnswer("the responder timed out".to_owned())),
        }
    }
}

/// Returns the exchange to be recorded for a message, still without a reply.
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

/// Returns the outcome of a message, or [`Outcome::Dropped`] if its rows were dropped.
fn unless_dropped(handled: Handled, written: WriteOutcome) -> Handled {
    match written {
        WriteOutcome::Written | WriteOutcome::Deferred => handled,
        WriteOutcome::Dropped(reason) => Outcome::Dropped.because(reason),
    }
}
