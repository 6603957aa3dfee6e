//! Deliveries that wait for further messages of their sender.

use local_sqs::Received;
use reply::turns::HOLDS;

use crate::Defect;
use crate::actors::bodies::{About, about};
use crate::model::attempts::Holding;
use crate::model::turns::TurnStep;
use crate::model::world::State;

/// Windows after its first message at which a turn is answered.
const WINDOWS: u32 = 5;

/// Receives that a hold counts as, with a deliberate defect.
const COUNTED: u32 = 60;

/// The receive count that the function is told.
#[must_use]
pub fn receive_count(state: &State, message: &Received) -> u32 {
    let holds = state.turns.holds.get(&message.message_id.to_string()).copied().unwrap_or_default();
    let counted = if state.has_defect(Defect::CountHolds) { COUNTED * holds } else { 0 };
    let least = if state.has_defect(Defect::CountFirstTwice) { 2 } else { 1 };
    message.receive_count.max(least) + counted
}

/// Records the deliveries that an invocation, started at this time, has held: returned and hidden without an attempt.
pub fn record(state: &mut State, invocation: u64, received: &[Received], holdings: &[Holding], started: u64) {
    let hidden = state.turns.hidden.remove(&invocation).unwrap_or_default();
    let window = state.plan.answering.window;
    let mut seen = Vec::new();
    for message in received {
        let message_id = message.message_id.to_string();
        let is_tried = holdings.iter().any(|held| held.message_id == message_id && held.attempt.is_some());
        let delay = hidden.get(&message.receipt_handle).copied().unwrap_or_default();
        let About::Message(wamid) = about(message.body.as_str()) else { continue };
        // The others of the group wait behind the first message of the turn, which is hidden.
        let is_behind = seen.contains(&&message.group_id);
        if is_tried || (delay.is_zero() && !is_behind) {
            continue;
        }
        *state.turns.holds.entry(message_id.clone()).or_default() += 1;
        if is_behind {
            continue;
        }
        seen.push(&message.group_id);
        let question = state.people.questions.get(&wamid);
        let accepted = question.and_then(|question| question.copies.get(&message_id)).copied();
        let Some(accepted) = accepted else { continue };
        let is_late = u128::from(started - accepted) > (window * WINDOWS).as_millis();
        let is_long = delay.as_millis() > window.as_millis().div_ceil(1_000) * 1_000;
        let holds = state.turns.holds.get(&message_id).copied().unwrap_or_default();
        if is_late || is_long || holds > HOLDS {
            let waited = started - accepted;
            let what = format!("{wamid} is held for {delay:?} after {waited} ms and {holds} holds");
            state.turns.overheld.push(what);
        }
    }
}

/// Records that a process hides deliveries.
pub fn hides(state: &mut State, invocation: u64) {
    state.turns.steps.entry(invocation).or_insert(TurnStep::Held);
}
