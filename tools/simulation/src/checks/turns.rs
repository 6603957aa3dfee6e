//! Turns: each message is in one, each is answered once, and none is held for too long.

use std::collections::BTreeSet;

use crate::checks::findings::Findings;
use crate::model::world::{Send, State};

/// Checks the turns in the history, and the holds.
pub fn check(state: &State, findings: &mut Findings) {
    for (wamid, turns) in &state.turns.recorded {
        let answers = |send: &&Send| send.is_reply && send.turn.contains(wamid);
        let answered: BTreeSet<&str> =
            state.sends.iter().filter(answers).map(|send| send.wamid.as_str()).collect();
        // With a second answer in another turn, which has a cause of its own, the message is in both.
        if turns.len() > answered.len().max(1) {
            let turns = turns.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
            findings.counts.split_turns += 1;
            findings.violations.push(format!("{wamid} is recorded in the turns of {turns}"));
        }
    }
    for what in &state.turns.overheld {
        findings.counts.overheld += 1;
        findings.violations.push(what.clone());
    }
    for wamid in &state.turns.early_letters {
        findings.counts.early_letters += 1;
        findings.violations.push(format!("{wamid} was dead-lettered because it had been held"));
    }
    for stored in state.turns.stored.values() {
        let is_recorded = state.turns.recorded.contains_key(&stored.wamid);
        if is_recorded && !stored.is_late {
            findings.counts.stored_answers_left += 1;
            findings.violations.push(format!("{}: its answer is recorded and still stored", stored.wamid));
        }
    }
}
