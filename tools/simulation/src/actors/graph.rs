//! Meta's Graph API, with all delivered messages.

use std::sync::Arc;
use std::time::Duration;

use reply::graph::{
    GraphError, MARK_READ_TIMEOUT, Messenger, ReadReceipt, Recipient, Rejection, SEND_TIMEOUT, Text,
};
use reply::history::row_id;
use reply::split::MAX_CHARACTERS;
use shared::meta::sender::{PhoneNumber, UserId};
use shared::meta::wamid::{MessageKey, Wamid};
use shared::supabase::rows::Role;
use tokio::time::{sleep, timeout};

use crate::Defect;
use crate::actors::{linkers, loops, statuses};
use crate::model::turns::TurnStep;
use crate::model::world::{REGISTRATION_TEXT, Send, State, World};

/// The Graph API for one invocation.
pub struct Graph {
    /// The world.
    pub world: Arc<World>,
    /// The invocation.
    pub invocation: u64,
}

/// Outcome of a request.
#[derive(Clone, Copy, PartialEq)]
enum CallOutcome {
    Sent,
    Rejected(u16, i64),
    /// No connection.
    Unreachable,
    /// Connection reset before the request arrives, or after it took effect.
    Reset {
        after: bool,
    },
    /// No response in time; the request may take effect, even later.
    Timeout {
        after: bool,
    },
}

impl Messenger for Graph {
    async fn send(&self, text: &Text<'_>) -> Result<Option<Wamid>, GraphError> {
        let wamid = answered(&mut self.world.lock(), self.invocation, text);
        let to = reached(text.to);
        let waits = {
            let state = self.world.lock();
            state.has_defect(Defect::WaitForDatabase) && state.plan.database_at(state.now).is_some()
        };
        if waits {
            sleep(Duration::from_secs(5)).await;
        }
        let (outcome, latency, attempt, (turn, is_reply)) = {
            let mut state = self.world.lock();
            let state = &mut *state;
            let limit = if state.has_defect(Defect::ShorterMessages) { 1000 } else { MAX_CHARACTERS };
            let outcome = if text.body.trim().is_empty() || text.body.chars().count() > limit {
                state.unsendable.insert(wamid.clone());
                // Meta's response: invalid parameter.
                CallOutcome::Rejected(400, 100)
            } else {
                outcome(state, &to)
            };
            let now = state.now;
            let attempt = state.attempts.current(self.invocation, &wamid);
            let (mut turn, mut is_reply) = (vec![wamid.clone()], false);
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.sent_at.get_or_insert(now);
                if text.body == REGISTRATION_TEXT
                    && let Some(last) = attempt.messages.last()
                {
                    // It answers the later messages, too.
                    let last = last.wamid.clone();
                    attempt.asked = attempt.turn(&last);
                }
                turn = attempt.turn(&wamid);
                let key = MessageKey::from(wamid.as_str());
                let id = row_id(&key, &Role::User);
                let stored = attempt.stored_answers.answer().and_then(|stored| stored.get(&id)).cloned();
                is_reply = text.callback.answer_id == row_id(&key, &Role::Assistant);
                attempt.bodies.extend(is_reply.then(|| text.body.to_owned()));
                let stored = stored.filter(|_| is_reply).map(|stored| stored.text);
                attempt.words = attempt.words.take().or(stored);
            }
            let latency = match outcome {
                CallOutcome::Timeout { .. } => state.chance.millis(50, 15_000),
                _ if state.plan.slow_graph && state.faulty() => state.chance.millis(500, 7_000),
                _ => state.chance.millis(50, 400),
            };
            (outcome, latency, attempt, (turn, is_reply))
        };
        let mut unanswered = Unanswered { world: &self.world, attempt };
        let takes_effect = matches!(
            outcome,
            CallOutcome::Sent | CallOutcome::Reset { after: true } | CallOutcome::Timeout { after: true }
        );
        let send = Send {
            at: 0,
            id: String::new(),
            wamid: wamid.clone(),
            attempt: attempt.unwrap_or(usize::MAX),
            from: text.from.to_string(),
            to,
            body: text.body.to_owned(),
            buttons: text.buttons.iter().map(|button| button.id.to_owned()).collect(),
            is_reply,
            turn,
            callback: text.callback,
        };
        let world = self.world.clone();
        let call = self.world.call(latency, move |state| {
            takes_effect.then(|| {
                let id = format!("wamid.answer.{}.{:03}", send.wamid, state.sends.len());
                state.note("Graph", format_args!("delivers the answer to {}: {id}", send.wamid));
                let send = Send { at: state.now, id: id.clone(), ..send };
                statuses::schedule(&world, state, &send);
                loops::answer(&world, state, &send);
                linkers::receive(&world, state, &send);
                state.sends.push(send);
                id
            })
        });
        let result = match outcome {
            CallOutcome::Timeout { .. } => {
                let _ = timeout(SEND_TIMEOUT, async {
                    call.await;
                    sleep(SEND_TIMEOUT).await;
                })
                .await;
                Err(GraphError::Lost)
            }
            outcome => {
                let id = call.await;
                match outcome {
                    CallOutcome::Rejected(status, code) => {
                        Err(GraphError::Rejected(Rejection::of(status, Some(code))))
                    }
                    CallOutcome::Unreachable => Err(GraphError::Unreachable),
                    CallOutcome::Reset { .. } => Err(GraphError::Lost),
                    CallOutcome::Sent | CallOutcome::Timeout { .. } => {
                        Ok(id.and_then(|id| Wamid::parse(id).ok()))
                    }
                }
            }
        };
        unanswered.attempt = None;
        let state = &mut *self.world.lock();
        state.turns.steps.insert(self.invocation, TurnStep::Sent);
        if let Err(error) = &result {
            state.note(format_args!("reply {}", self.invocation), format_args!("{wamid}: {error}"));
            if let Some(attempt) = state.attempts.get_mut(attempt) {
                attempt.lost |= *error == GraphError::Lost;
                attempt.rejected_permanently |= error.class() == reply::graph::Class::Permanent;
            }
        }
        result
    }

    async fn mark_read(&self, seen: &ReadReceipt<'_>) -> Result<(), GraphError> {
        let (result, latency) = {
            let state = &mut *self.world.lock();
            let wamid = seen.wamid.as_str();
            if state.people.questions.get(wamid).is_none_or(|question| question.number != seen.by.to_string())
            {
                state.misread.insert(wamid.to_owned());
            }
            let rate = state.plan.rates.receipt;
            let rejected = Err(GraphError::Rejected(Rejection::of(400, Some(131_009))));
            if !state.draw_fault(rate) {
                (Ok(()), state.chance.millis(50, 300))
            } else if state.plan.isolated || state.chance.in_1000(500) {
                state.inject("Graph refuses a read receipt");
                (rejected, state.chance.millis(50, 300))
            } else {
                state.inject("Graph loses a read receipt");
                // Until the client times out.
                (Err(GraphError::Lost), MARK_READ_TIMEOUT)
            }
        };
        sleep(latency).await;
        result
    }
}

/// A send without a response. If dropped, the response is lost as far as the caller knows.
struct Unanswered<'a> {
    world: &'a World,
    attempt: Option<usize>,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Some(attempt) = self.attempt else { return };
        if let Some(attempt) = self.world.lock().attempts.get_mut(Some(attempt)) {
            attempt.lost = true;
        }
    }
}

/// The recipient according to Meta: the number if there is one.
fn reached(to: Recipient<'_>) -> String {
    match to {
        Recipient::Group(id) => id.to_owned(),
        Recipient::Person(sender) => {
            let number = sender.number().map(PhoneNumber::digits);
            number.or_else(|| sender.user_id().map(UserId::as_str)).unwrap_or_default().to_owned()
        }
    }
}

fn outcome(state: &mut State, to: &str) -> CallOutcome {
    let rates = state.plan.rates;
    let blocked = state.plan.blocked_sender && state.faulty();
    if blocked && state.people.senders.first().is_some_and(|person| person.is(to)) {
        state.inject("Graph 131056 to one sender");
        return CallOutcome::Rejected(400, 131_056);
    }
    if let Some((status, code)) = state.plan.graph_at(state.now) {
        state.inject(named(status, code));
        return CallOutcome::Rejected(status, code);
    }
    if state.draw_fault(rates.graph_final) {
        state.inject("Graph 131047 (final)");
        return CallOutcome::Rejected(400, 131_047);
    }
    if state.draw_fault(rates.graph_passing) {
        let codes = [(500, 131_000), (400, 131_056), (503, 2), (401, 190)];
        let (status, code) = state.chance.pick((429, 130_429), &codes);
        state.inject(named(status, code));
        return CallOutcome::Rejected(status, code);
    }
    if state.draw_fault(rates.graph_lost) {
        let after = state.chance.in_1000(500);
        let outcome = state
            .chance
            .pick(CallOutcome::Unreachable, &[CallOutcome::Reset { after }, CallOutcome::Timeout { after }]);
        state.inject(match outcome {
            CallOutcome::Reset { after: false } => "Graph connection reset before effect",
            CallOutcome::Reset { after: true } => "Graph connection reset after effect",
            CallOutcome::Timeout { after: false } => "Graph timeout before effect",
            CallOutcome::Timeout { after: true } => "Graph timeout after effect",
            _ => "Graph unreachable",
        });
        return outcome;
    }
    CallOutcome::Sent
}

fn named(status: u16, code: i64) -> &'static str {
    match (status, code) {
        (429, _) => "Graph 429",
        (_, 131_056) => "Graph 131056",
        (_, 131_048) => "Graph 131048",
        (401, _) | (_, 190) => "Graph 190 or 0 (account)",
        _ => "Graph 5xx",
    }
}

/// Returns the wamid of the message that a text answers: the last one of its turn, which it does not quote if that is a
/// reaction.
fn answered(state: &mut State, invocation: u64, text: &Text<'_>) -> String {
    let quoted = text.quotes.map(Wamid::as_str).unwrap_or_default();
    let attempt = state.attempts.current(invocation, quoted);
    let answers = |wamid: &str| row_id(&wamid.into(), &Role::Assistant) == text.callback.answer_id;
    let messages = state.attempts.get_mut(attempt).map(|attempt| &attempt.messages);
    let last = messages.and_then(|messages| messages.iter().find(|message| answers(&message.wamid)));
    last.map_or(quoted, |last| &last.wamid).to_owned()
}
