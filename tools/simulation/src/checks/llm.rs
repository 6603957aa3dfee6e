//! Answers of the language model: paid for once, within limits and time.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use reply::details::Origin;
use reply::history::row_id;
use shared::meta::wamid::MessageKey;
use shared::supabase::rows::Role;
use uuid::Uuid;

use crate::checks::findings::Findings;
use crate::model::attempts::{End, Lookup};
use crate::model::llm::{Call, details};
use crate::model::world::State;

/// Maximum number of a user's message groups: two business numbers, with and without the user's own number.
const GROUPS: u64 = 4;

/// Maximum delay of an answer by the language model, in milliseconds: the time until the last try, and the timeout of a call.
pub const MAX_DELAY: u64 = 120_000 + 45_000;

/// Checks the calls of the model, and the decisions without it.
pub fn check(state: &State, findings: &mut Findings) {
    findings.counts.model_answers = state.llm.calls.len() as u64;
    let mut attempts = BTreeSet::new();
    for call in state.llm.calls.iter().filter(|call| !attempts.insert(call.attempt)) {
        findings.counts.needless_calls += 1;
        findings.violations.push(format!("{}: the model answered twice in an attempt", call.wamid));
    }
    for call in state.llm.calls.iter().filter(|call| has_stored_part(state, call)) {
        findings.counts.needless_calls += 1;
        findings
            .violations
            .push(format!("{}: the model answered what a stored answer begins with", call.wamid));
    }
    let mut returned: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in state.llm.calls.iter().filter(|call| call.is_returned) {
        returned.entry(&call.wamid).or_default().push(call);
    }
    for (wamid, calls) in returned {
        for pair in calls.windows(2) {
            findings.counts.model_answers_again += 1;
            if let Some(why) = is_needless(state, wamid, pair[0], pair[1]) {
                findings.counts.needless_calls += 1;
                findings.violations.push(format!("{wamid}: the model answered again: {why}"));
            }
        }
    }
    daily_limits(state, findings);
    for wamid in &state.llm.wrong_silences {
        findings.counts.lost += 1;
        findings.violations.push(format!("{wamid}: no reply, and no reason for it"));
    }
    for wamid in &state.llm.late_retries {
        findings.counts.late_fallbacks += 1;
        findings.violations.push(format!("{wamid}: no fallback text after the time for its turn"));
    }
    for wamid in &state.llm.beyond_limits {
        findings.counts.exceeded_limits += 1;
        findings.violations.push(format!("{wamid}: an answer or a notice beyond a daily limit"));
    }
}

/// Whether an answer to the first messages of the turn was stored, and found: they are a turn of their own.
fn has_stored_part(state: &State, call: &Call) -> bool {
    let Some(attempt) = state.attempts.all.get(call.attempt) else { return false };
    let Some(found) = attempt.stored_answers.answer() else { return false };
    let stored = |wamid: &String| found.get(&row_id(&MessageKey::from(wamid.as_str()), &Role::User));
    let mut parts = attempt.asked.iter().zip(1..);
    parts.any(|(wamid, count)| stored(wamid).is_some_and(|stored| stored.messages == count))
}

/// Checks the answers of each user and day, where no other fault keeps rows away: at the limit of a user there is no further
/// one, but for those that were asked for at the same time: by messages to another business number, or on the record queue,
/// which has no message groups.
fn daily_limits(state: &State, findings: &mut Findings) {
    // Answers that Meta rejects for hours are in no row yet.
    let is_checked = state.plan.isolated && !state.plan.blocked_sender;
    let Some(limit) = state.llm.limits.user_answers.filter(|_| is_checked) else { return };
    let mut answers: BTreeMap<(Uuid, NaiveDate), u64> = BTreeMap::new();
    for row in state.rows.values().map(|row| &row.row) {
        if let Some(Origin::Model | Origin::Fallback) = details(row).map(|details| details.source) {
            *answers.entry((row.user_id, row.created_at.date_naive())).or_default() += 1;
        }
    }
    let on_records = |user_id: Uuid| {
        let questions = state.people.questions.values();
        questions.filter(|question| question.out_of_order && question.account == Some(user_id)).count() as u64
    };
    let exceeds =
        |&((user_id, _), count): &((Uuid, NaiveDate), u64)| count >= limit + GROUPS + on_records(user_id);
    for ((user_id, day), count) in answers.into_iter().filter(exceeds) {
        findings.counts.exceeded_limits += 1;
        findings
            .violations
            .push(format!("{user_id} got {count} answers on {day}, and {limit} are the limit"));
    }
}

/// The reason why the second of two answers to a turn was needless, if it was. A process that died before the first was
/// stored, and a database that was away, explain it.
fn is_needless(state: &State, wamid: &str, earlier: &Call, later: &Call) -> Option<&'static str> {
    let all = &state.attempts.all;
    let (before, now) = (all.get(earlier.attempt)?, all.get(later.attempt)?);
    let found = match &now.stored_answers {
        Lookup::Skipped if now.member(wamid)?.receive_count > 1 => {
            return Some("no lookup of a stored one");
        }
        Lookup::Skipped | Lookup::Unanswered => return None,
        Lookup::Answered(found) => found,
    };
    // Copies of a message that a dead-letter queue returned are handled at the same time.
    if state.people.questions.get(wamid).is_some_and(|question| question.out_of_order) {
        return None;
    }
    if before.kept.is_none() && before.member(wamid)?.end != End::Died {
        return Some("its answer was not stored");
    }
    match found.get(&row_id(&MessageKey::from(wamid), &Role::User)) {
        // A reply to another number of messages is one to other messages.
        Some(stored) if stored.messages != now.asked.len() => None,
        Some(_) => Some("its answer was stored, and found"),
        // It is deleted with the record.
        None if before.kept != Some(true) || now.member(wamid)?.response != Some(false) => None,
        None => Some("its answer was stored, and is gone"),
    }
}

/// Whether a message got no reply because of an empty fallback text or a limit.
#[must_use]
pub fn is_unanswered(state: &State, wamid: &str) -> bool {
    let of_message = |asked: &String| asked == wamid;
    state.attempts.all.iter().any(|attempt| attempt.is_silent && attempt.asked.iter().any(of_message))
}
