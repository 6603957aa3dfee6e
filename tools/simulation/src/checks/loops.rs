//! Loops with automatic correspondents are bounded.

use std::collections::BTreeMap;

use reply::memory::{TURNS, WINDOW};

use crate::actors::loops::{AUTOMATIC_SENDER, is_automatic};
use crate::checks::findings::Findings;
use crate::model::questions::{AUTOMATIC, Question};
use crate::model::world::State;

/// Whether a user wrote so much to a business number that they may be classified as a machine. Then an
/// unanswered message may get an answer when it is redelivered, after later ones.
#[must_use]
pub fn exceeds_turns(state: &State, question: &Question) -> bool {
    let questions = state.people.questions.values();
    let same = |other: &&Question| other.sender == question.sender && other.number == question.number;
    questions.filter(same).count() > TURNS
}

/// Whether a message has no answer because its sender got too many before. Nothing is written about an unlinked one,
/// or a step of linking.
#[must_use]
pub fn is_silenced(state: &State, wamid: &str, question: &Question) -> bool {
    let says_so = |reason: &String| reason.contains("automatic");
    let mut rows = state.rows.values().filter(|row| row.wamid == wamid);
    exceeds_turns(state, question)
        && (state.people.senders[question.sender].account.is_none()
            || question.kind.is_step()
            || question.uncertain
            || rows.any(|row| row.row.unanswered_because.as_ref().is_some_and(says_so)))
}

/// Checks that a loop is bounded: no process exceeds its number of answers within [`WINDOW`].
pub fn check(state: &State, findings: &mut Findings) {
    let mut times: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    let mut repeated: BTreeMap<&str, usize> = BTreeMap::new();
    for send in &state.sends {
        let question = state.people.questions.get(&send.wamid);
        if question.is_some_and(|question| is_automatic(state, question)) {
            let at = *times.entry(&send.from).or_default().entry(&send.wamid).or_insert(send.at);
            *repeated.entry(&send.from).or_default() += usize::from(at != send.at);
        }
    }
    let window = u64::try_from(WINDOW.as_millis()).unwrap_or(u64::MAX);
    for (number, answers) in times {
        // Each message of the correspondent's own starts an exchange, and so does each duplicate answer. One
        // turn at a time is counted across concurrent exchanges, and messages in flight are answered. An
        // answer without a confirmation is not counted: at least twice as many.
        let own = state.people.questions.values().filter(|question| {
            question.sender == AUTOMATIC_SENDER
                && question.number == number
                && !question.text.starts_with(AUTOMATIC)
        });
        let started = usize::try_from(state.started).unwrap_or(usize::MAX);
        let exchanges = own.count() + repeated.get(number).unwrap_or(&0);
        let most = exchanges.max(2) * (TURNS + 1) * started;
        let mut times: Vec<u64> = answers.into_values().collect();
        times.sort_unstable();
        if let Some(first) = times.windows(most + 1).find(|times| times[most] - times[0] < window) {
            let minute = first[0] / 60_000;
            let what =
                format!("more than {most} answers of {number} in the five minutes from minute {minute}");
            findings.counts.endless_loops += 1;
            findings.violations.push(what);
        }
    }
}
