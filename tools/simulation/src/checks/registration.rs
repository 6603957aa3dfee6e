//! The registration text: at most once a day for each sender and business number, and never in answer to a code.

use std::collections::{BTreeMap, BTreeSet};

use crate::checks::findings::Findings;
use crate::model::strangers::STORED;
use crate::model::world::{REGISTRATION_TEXT, State};

/// Checks every registration text. A second one in answer to the same message is a duplicate reply.
pub fn check(state: &State, findings: &mut Findings) {
    let day = STORED.num_milliseconds().unsigned_abs();
    let mut last: BTreeMap<(usize, Option<usize>, &str), (&str, u64)> = BTreeMap::new();
    let mut extra = |what: String| {
        findings.counts.extra_registrations += 1;
        findings.violations.push(what);
    };
    for send in state.sends.iter().filter(|send| send.body == REGISTRATION_TEXT) {
        let wamid = send.wamid.as_str();
        let Some(question) = state.people.questions.get(wamid) else { continue };
        if question.kind.is_step() {
            extra(format!("{wamid}: a code or a tap got the registration text"));
        }
        // The permission counts: a text that Meta accepts a day later is that day's.
        let permitted = state.people.linking.permitted.get(wamid).copied().unwrap_or(send.at);
        let sender = (question.sender, question.version, send.from.as_str());
        let Some((before, at)) = last.insert(sender, (wamid, permitted)) else { continue };
        if before != wamid && permitted.abs_diff(at) < day {
            extra(format!("{wamid}: its sender got the registration text for {before} within a day"));
        }
    }
}

/// Whether an answer to a message is missing because its sender got the registration text before, which the database did not
/// permit again or had a status of, or because the database did not tell.
#[must_use]
pub fn is_withheld(state: &State, wamid: &str) -> bool {
    let texts = || state.sends.iter().filter(|send| send.body == REGISTRATION_TEXT);
    let has_text = |shown: &BTreeSet<String>| texts().any(|send| shown.contains(&send.id));
    let mut attempts = state.attempts.of(wamid).filter(|(.., member)| member.is_handled());
    attempts.any(|(_, attempt, _)| match attempt.registration {
        Some(true) => attempt.sent_at.is_none() && attempt.statuses.answer().is_some_and(has_text),
        Some(false) => true,
        None => false,
    })
}

/// Whether a code or a tap got no answer on purpose: after too many wrong ones, or because the sender was asked before.
#[must_use]
pub fn is_ignored(state: &State, wamid: &str) -> bool {
    use reply::links::Claimed::{Decided, Expired, Unknown};
    let silent = |claims: &Vec<_>| {
        claims
            .iter()
            .any(|claimed| matches!(claimed, Decided | Unknown { answer: false } | Expired { answer: false }))
    };
    state.people.linking.claims.get(wamid).is_some_and(silent)
}
