//! The pipeline of a turn, which is one message without a window: lookup of its user, deduplication, reply, send, record.

use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics;
use shared::meta::envelope::{Earlier, Exchange, Line, Unsent};
use shared::supabase::rows::Role;
use tracing::warn;

use crate::budget::HANDOVER;
use crate::complete_link::complete_link;
use crate::database::{Database, within};
use crate::delivery::Attempt;
use crate::details::LlmDetails;
use crate::failure::Failure;
use crate::function::Reply;
use crate::graph::{Messenger, Recipient};
use crate::history::row_id;
use crate::incoming::Incoming;
use crate::linking::{self, Step};
use crate::links::{self, Tap};
use crate::lookup::{Found, KnownAnswer, Owner, SentParts, lookup};
use crate::memory::UnrecordedReply;
use crate::notice::SILENCED;
use crate::outcome::{Handled, Outcome, Report, TurnReport};
use crate::queues::{self, QueueClient};
use crate::read_receipts::mark_read;
use crate::record::{WriteOutcome, received};
use crate::responder::{NoAnswer, Responder, Response};
use crate::send::{Progress, Route, Sent};
use crate::users::Author;

/// The content of a reply that was sent, but neither stored nor recorded.
const UNKNOWN_TEXT: &str = "[reply not recorded]";

/// The reason for a message that needs no handling.
pub(crate) const HANDLED_BEFORE: &str = "an earlier attempt handled it";

/// The reason for a reply that is not sent again.
const CONFIRMED: &str = "an earlier attempt sent the reply";

/// The reason for a retry after a reply of which a part was sent.
const STORED_UNREAD: &str = "a part of the reply was sent, and what is stored of it cannot be read";

/// What earlier attempts at a turn have sent and stored.
struct Before<'a> {
    /// The parts of the reply that were sent.
    parts: SentParts,
    /// The reply.
    known: Option<&'a KnownAnswer>,
    /// Whether a reply may be stored that could not be read.
    misses_stored: bool,
}

impl<D: Database, M: Messenger, Q: QueueClient, R: Responder> Reply<D, M, Q, R> {
    /// Answers the messages of a turn together, and records them, without those whose rows are written already.
    ///
    /// If an earlier attempt has answered the first of them, only these are handled.
    pub(crate) async fn answer(&self, turn: &[&Incoming], attempt: Attempt) -> TurnReport {
        let Some(last) = turn.last() else { return Report::handled(Outcome::Ignored, None).of_turn(0) };
        let (author, from) = (last.author(), self.number_for(last));
        // A step of linking is a turn of its own.
        let code = match Step::of(last) {
            Some(Step::Tap { link_id, accept }) => {
                let tap = Tap { link_id, accept, from, message: last };
                let answered = linking::answer_tap(&self.database, tap, &self.notices(), attempt).await;
                return answered.of_turn(turn.len());
            }
            Some(Step::Code(code)) => Some(code),
            None => None,
        };
        let (claimed, found) = tokio::join!(
            linking::claim(&self.database, code.as_ref(), from, last, attempt.deadline),
            lookup(
                &self.database,
                turn,
                &author,
                attempt,
                !self.responder.is_pure() || !self.window.is_off()
            )
        );
        if found.changes_owner {
            return Box::pin(self.answer(&turn[..1], attempt)).await;
        }
        let Found { owner, recorded: mut recorded_before, mut earlier, .. } = found;
        let handled = turn.iter().filter(|message| self.memory.handled.contains(&message.key));
        recorded_before.extend(handled.map(|message| message.key.clone()));
        let new: Vec<&Incoming> =
            turn.iter().copied().filter(|message| !recorded_before.contains(&message.key)).collect();
        match claimed {
            Ok(Some(claimed)) if !new.is_empty() => {
                let notices = self.notices();
                let answered = linking::answer_code(claimed, owner, last, from, &notices, attempt).await;
                if let Some(report) = answered {
                    return report.of_turn(turn.len());
                }
            }
            Ok(_) => {}
            Err(failure) => return Report::from(failure).of_turn(turn.len()),
        }
        let unrecorded = new.iter().filter_map(|message| self.memory.replies.get(&message.key));
        unrecorded.for_each(|reply| earlier.add(reply));
        let answered = match owner {
            // As a sender whose link was unknown: the database was unavailable.
            Owner::Unlinked => earlier.sent_to(&new),
            Owner::User(_) | Owner::Unknown => earlier.answered(&new),
        };
        let asked = &new[..answered.unwrap_or(new.len())];
        let result = match (asked.last(), owner) {
            (None, _) => Ok(Outcome::AnsweredBefore.because(HANDLED_BEFORE)),
            (Some(_), Owner::Unlinked) if answered.is_some() => {
                Ok(Outcome::AnsweredBefore.because(CONFIRMED))
            }
            (Some(_), Owner::Unlinked) => self.answer_unlinked(asked, attempt).await,
            (Some(last), Owner::User(_) | Owner::Unknown) => {
                let earlier = Before {
                    parts: earlier.parts_to(&last.key),
                    known: earlier.known_to(&last.key, asked.len()),
                    misses_stored: earlier.misses_stored,
                };
                self.answer_and_record(asked, last, &author, owner, earlier, attempt).await
            }
        };
        let messages = match asked.last() {
            Some(last) if answered.is_some() => {
                turn.iter().position(|message| message.key == last.key).map_or(turn.len(), |found| found + 1)
            }
            _ => turn.len(),
        };
        if matches!(&result, Ok(handled) if handled.outcome != Outcome::Ignored) {
            asked.iter().for_each(|message| self.memory.handled.add(&message.key));
        }
        if let (Some(last), Owner::User(linked), Ok(_)) = (asked.last(), owner, &result) {
            complete_link(&self.database, linked, &author, &last.key, last.sent_at, attempt.deadline).await;
        }
        if let (Some(last), Ok(Handled { outcome: Outcome::Undeliverable, .. })) = (asked.last(), &result) {
            let (wamid, to) = (last.short_wamid(), &last.sender);
            warn!(counter = Counter::UndeliverableAnswers.name(), wamid, %to, "Meta refused the reply permanently");
        }
        TurnReport { user_id: owner.user_id(), messages, recorded_before, result }
    }

    /// Sends the registration text to an unlinked sender, if one of the messages expects a reply.
    async fn answer_unlinked(&self, turn: &[&Incoming], attempt: Attempt) -> Result<Handled, Failure> {
        // The first one, because a redelivery may have further messages.
        let is_answerable = |message: &&Incoming| {
            let is_addressed = message.content.is_conversation() && message.group_id.is_none();
            is_addressed && self.unanswerable(message).is_none()
        };
        let Some(message) = turn.iter().copied().find(is_answerable) else {
            return Ok(
                Outcome::Ignored.because("its sender is unlinked, and a message of this kind gets no reply")
            );
        };
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

    /// Answers a turn of a linked or possibly linked sender, which ends with `message`, and records both sides.
    async fn answer_and_record(
        &self,
        turn: &[&Incoming],
        message: &Incoming,
        author: &Author,
        owner: Owner,
        before: Before<'_>,
        attempt: Attempt,
    ) -> Result<Handled, Failure> {
        let (user_id, deadline) = (owner.user_id(), attempt.deadline);
        let (from, recorder) = (self.number_for(message), self.recorder());
        if matches!(owner, Owner::Unknown) {
            // Its rows can only go to the record queue, and a reply that is not recorded would be sent again.
            let checking = self.queues.check_records();
            queues::within(deadline.keeping(HANDOVER), checking).await.map_err(Failure::Unrecordable)?;
        }
        let mut exchange = unanswered(turn, message, from.to_string());
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

        let is_pure = self.responder.is_pure();
        let answer = match before.known {
            Some(known) if !before.parts.is_empty() || (known.is_stored && !is_pure) => known.answer.clone(),
            Some(known) if !is_pure => {
                self.store(turn, user_id, &known.answer, deadline).await;
                known.answer.clone()
            }
            None if !before.parts.is_empty() && before.misses_stored && (!is_pure || turn.len() > 1) => {
                return Err(Failure::NoAnswer(NoAnswer::from(STORED_UNREAD)));
            }
            None if !before.parts.is_empty() && !is_pure => {
                // Another reply than the one that was sent would be wrong in the history.
                let at = (self.clock)();
                exchange.answer_wamids = before.parts.into_values().collect();
                exchange.answer = Some(Line { content: UNKNOWN_TEXT.to_owned(), at });
                return record(Outcome::Answered.because(CONFIRMED), exchange).await;
            }
            // A pure responder returns the same reply again, unless it was replaced by another one.
            _ => match self.respond(turn, addressed(turn, message), owner, attempt).await? {
                Response::Text(answer) => {
                    self.store(turn, user_id, &answer, deadline).await;
                    answer
                }
                Response::Nothing => {
                    return record(Outcome::Recorded.because("the responder returned no reply"), exchange)
                        .await;
                }
                Response::Silence(reason) => {
                    exchange.unanswered_because = Some(reason.to_owned());
                    return record(Outcome::Recorded.because(reason), exchange).await;
                }
            },
        };
        exchange.answer_payload = answer.details.as_ref().and_then(LlmDetails::payload);
        let text = answer.text.as_str();

        let to = message.group_id.as_deref().map_or(Recipient::Person(&author.sender), Recipient::Group);
        let (wamid, sent) = (addressed(turn, message).key.wamid(), &before.parts);
        let answer_id = row_id(&message.key, &Role::Assistant);
        let route = Route { from, to, wamid, buttons: &[], answer_id, part: 1, sent };
        // Before the send: an automatic reply may arrive before the Graph API confirms the send.
        let send_started_at = (self.clock)();
        let Sent { wamids, parts, progress } = self.outbox().send(route, text, deadline).await;
        let at = (self.clock)();
        // Without the wamid of a part it is unknown which parts the others are.
        let known = if wamids.len() == parts as usize { wamids.clone() } else { Vec::new() };
        let remember = |failure: Failure| {
            // If it was not sent, a pure responder returns it again. The database may not return a stored one.
            let is_lost = matches!(failure, Failure::NotSent(_) | Failure::Unrecordable(_)) && !is_pure;
            if is_lost || matches!(failure, Failure::Unrecorded(_)) {
                let (key, answer) = (message.key.clone(), answer.clone());
                self.memory.replies.add(UnrecordedReply { key, answer, messages: turn.len(), wamids: known });
            }
            failure
        };
        exchange.answer_wamids = wamids;
        if !matches!(progress, Progress::Failed(_)) && parts as usize > sent.len() {
            metrics::record("receipt_to_reply_ms", (at - message.received_at).to_std().unwrap_or_default());
            conversations.add_turn(conversation, message.sent_at, Some(send_started_at));
        }

        let handled = match progress {
            Progress::Complete => {
                exchange.answer = Some(Line { content: text.to_owned(), at });
                Handled { outcome: Outcome::Answered, reason: (!sent.is_empty()).then(|| CONFIRMED.into()) }
            }
            Progress::Failed(cause) if self.own_numbers().may_retry(&cause, from, owner, attempt).await => {
                return Err(remember(Failure::NotSent(cause)));
            }
            Progress::Failed(refusal) => {
                exchange.unanswered_because = Some(refusal.to_string());
                Outcome::Undeliverable.because(refusal.to_string())
            }
            Progress::Partial(rest, stop) if stop.is_permanent() => {
                exchange.answer = Some(Line { content: received(text, rest).to_owned(), at });
                Outcome::Undeliverable.because(stop.to_string())
            }
            Progress::Partial(rest, stop) => {
                // A redelivery would send the whole reply again. The rest alone becomes a record task, like rows.
                let group_id = message.group_id.clone();
                let unsent =
                    Unsent { from: from.to_string(), group_id, text: rest.to_owned(), part: 1 + parts };
                let wamid = ShortWamid::field(message.key.as_str());
                warn!(counter = Counter::DeferredAnswers.name(), wamid, cause = %stop, "reply sent in part: its rest is sent later");
                exchange.answer = Some(Line { content: text.to_owned(), at });
                let recording =
                    recorder.record_later(user_id, author, exchange, Some((unsent, &stop)), deadline);
                return recording.await.map(|()| Outcome::Answered.into()).map_err(remember);
            }
        };
        record(handled, exchange).await.map_err(remember)
    }
}

/// Returns the message of a turn that the reply quotes: the last one that expects a reply, else the last one.
fn addressed<'a>(turn: &[&'a Incoming], last: &'a Incoming) -> &'a Incoming {
    turn.iter().rev().find(|message| message.content.is_conversation()).copied().unwrap_or(last)
}

/// Returns the exchange to be recorded for a turn that ends with `last`, still without a reply.
fn unanswered(turn: &[&Incoming], last: &Incoming, phone_number_id: String) -> Exchange {
    let earlier = turn.iter().filter(|message| message.key != last.key);
    let earlier = earlier.map(|message| Earlier { key: message.key.clone(), asked: message.asked() });
    Exchange {
        earlier: earlier.collect(),
        key: last.key.clone(),
        phone_number_id: Some(phone_number_id),
        asked: last.asked(),
        answer: None,
        answer_payload: None,
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
