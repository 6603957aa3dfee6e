//! Meta's Graph API: keeps what every phone got.

use std::sync::Arc;
use std::time::Duration;

use reply::graph::{GraphError, Messenger, Recipient, Rejection, SEEN_TIMEOUT, SEND_TIMEOUT, Seen, Text};
use reply::split::MAX_CHARACTERS;
use shared::sender::{PhoneNumber, UserId};
use tokio::time::{sleep, timeout};

use super::Break;
use super::world::{Send, State, World};
use super::{loops, statuses};

/// The Graph API, as one invocation sees it.
pub struct Graph {
    /// Where it is.
    pub world: Arc<World>,
    /// The invocation.
    pub invocation: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Sent,
    Rejected(u16, i64),
    /// No connection.
    Unreachable,
    /// The connection breaks before the request arrives, or after it took effect.
    Reset {
        after: bool,
    },
    /// No answer in time, though it may take effect, even later than that.
    Timeout {
        after: bool,
    },
}

impl Messenger for Graph {
    async fn send(&self, text: &Text<'_>) -> Result<Option<String>, GraphError> {
        let wamid = text.quotes.unwrap_or_default().to_owned();
        let to = reached(text.to);
        let waits = {
            let state = self.world.lock();
            state.breaks(Break::WaitForDatabase) && state.plan.database_at(state.now).is_some()
        };
        if waits {
            sleep(Duration::from_secs(5)).await;
        }
        let (fate, latency, attempt) = {
            let mut state = self.world.lock();
            let state = &mut *state;
            let limit = if state.breaks(Break::ShorterTexts) { 1000 } else { MAX_CHARACTERS };
            let fate = if text.body.trim().is_empty() || text.body.chars().count() > limit {
                state.unsendable.insert(wamid.clone());
                // As Meta answers: invalid parameter.
                Fate::Rejected(400, 100)
            } else {
                fate(state, &to)
            };
            let now = state.now;
            let attempt = state.attempts.current(self.invocation, &wamid).unwrap_or(usize::MAX);
            if let Some(attempt) = state.attempts.current_mut(self.invocation, &wamid) {
                attempt.sent_at.get_or_insert(now);
            }
            let latency = match fate {
                Fate::Timeout { .. } => state.chance.millis(50, 15_000),
                _ if state.plan.slow_graph && state.faulty() => state.chance.millis(500, 7_000),
                _ => state.chance.millis(50, 400),
            };
            (fate, latency, attempt)
        };
        let mut unanswered = Unanswered { world: &self.world, attempt: Some(attempt) };
        let takes_effect =
            matches!(fate, Fate::Sent | Fate::Reset { after: true } | Fate::Timeout { after: true });
        let send = Send {
            at: 0,
            id: String::new(),
            wamid: wamid.clone(),
            attempt,
            from: text.from.to_string(),
            to,
            body: text.body.to_owned(),
        };
        let world = self.world.clone();
        let call = self.world.call(latency, move |state| {
            takes_effect.then(|| {
                let id = format!("wamid.answer.{}.{:03}", send.wamid, state.sends.len());
                state.note("Graph", format_args!("a phone gets the answer to {}: {id}", send.wamid));
                let send = Send { at: state.now, id: id.clone(), ..send };
                statuses::follow(&world, state, &send);
                loops::answer(&world, state, &send);
                state.sends.push(send);
                id
            })
        });
        let result = match fate {
            Fate::Timeout { .. } => {
                let _ = timeout(SEND_TIMEOUT, async {
                    call.await;
                    sleep(SEND_TIMEOUT).await;
                })
                .await;
                Err(GraphError::Lost)
            }
            fate => {
                let id = call.await;
                match fate {
                    Fate::Rejected(status, code) => {
                        Err(GraphError::Rejected(Rejection::of(status, Some(code))))
                    }
                    Fate::Unreachable => Err(GraphError::Unreachable),
                    Fate::Reset { .. } => Err(GraphError::Lost),
                    Fate::Sent | Fate::Timeout { .. } => Ok(id),
                }
            }
        };
        unanswered.attempt = None;
        if let Err(error) = &result {
            let mut state = self.world.lock();
            state.note(format_args!("reply {}", self.invocation), format_args!("{wamid}: {error}"));
            if let Some(attempt) = state.attempts.current_mut(self.invocation, &wamid) {
                attempt.lost |= *error == GraphError::Lost;
                attempt.refused_for_good |= error.class() == reply::graph::Class::Final;
            }
        }
        result
    }

    async fn mark_seen(&self, seen: &Seen<'_>) -> Result<(), GraphError> {
        let (result, latency) = {
            let state = &mut *self.world.lock();
            let wamid = seen.wamid;
            if state.people.questions.get(wamid).is_none_or(|question| question.number != seen.by.to_string())
            {
                state.misread.insert(wamid.to_owned());
            }
            let rate = state.plan.rates.receipt;
            let rejected = Err(GraphError::Rejected(Rejection::of(400, Some(131_009))));
            if !state.strikes(rate) {
                (Ok(()), state.chance.millis(50, 300))
            } else if state.plan.isolated || state.chance.in_1000(500) {
                state.inject("Graph refuses a read receipt");
                (rejected, state.chance.millis(50, 300))
            } else {
                state.inject("Graph loses a read receipt");
                // Until the client gives up.
                (Err(GraphError::Lost), SEEN_TIMEOUT)
            }
        };
        sleep(latency).await;
        result
    }
}

/// A send whose caller has not got its answer. One that is given up was lost, as far as the caller knows.
struct Unanswered<'a> {
    world: &'a World,
    attempt: Option<usize>,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Some(attempt) = self.attempt else { return };
        if let Some(attempt) = self.world.lock().attempts.all.get_mut(attempt) {
            attempt.lost = true;
        }
    }
}

/// Whom it reaches, as Meta has it: a number if there is one.
fn reached(to: Recipient<'_>) -> String {
    match to {
        Recipient::Group(id) => id.to_owned(),
        Recipient::Person(sender) => {
            let number = sender.number().map(PhoneNumber::digits);
            number.or_else(|| sender.user_id().map(UserId::as_str)).unwrap_or_default().to_owned()
        }
    }
}

fn fate(state: &mut State, to: &str) -> Fate {
    let rates = state.plan.rates;
    let blocked = state.plan.blocked_sender && state.faulty();
    if blocked && state.people.senders.first().is_some_and(|person| person.is(to)) {
        state.inject("Graph 131056 to one sender");
        return Fate::Rejected(400, 131_056);
    }
    if let Some((status, code)) = state.plan.graph_at(state.now) {
        state.inject(named(status, code));
        return Fate::Rejected(status, code);
    }
    if state.strikes(rates.graph_final) {
        state.inject("Graph 131047 (final)");
        return Fate::Rejected(400, 131_047);
    }
    if state.strikes(rates.graph_passing) {
        let codes = [(500, 131_000), (400, 131_056), (503, 2), (401, 190)];
        let (status, code) = state.chance.pick((429, 130_429), &codes);
        state.inject(named(status, code));
        return Fate::Rejected(status, code);
    }
    if state.strikes(rates.graph_lost) {
        let after = state.chance.in_1000(500);
        let fate = state.chance.pick(Fate::Unreachable, &[Fate::Reset { after }, Fate::Timeout { after }]);
        state.inject(match fate {
            Fate::Reset { after: false } => "Graph connection reset before effect",
            Fate::Reset { after: true } => "Graph connection reset after effect",
            Fate::Timeout { after: false } => "Graph timeout before effect",
            Fate::Timeout { after: true } => "Graph timeout after effect",
            _ => "Graph unreachable",
        });
        return fate;
    }
    Fate::Sent
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
