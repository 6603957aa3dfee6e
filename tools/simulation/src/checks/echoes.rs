//! Guarantee 2: the causes of second answers.

use std::collections::{BTreeMap, BTreeSet};

use reply::history::row_id;
use shared::meta::wamid::MessageKey;
use shared::supabase::rows::Role;

use crate::checks::findings::{Cause, Findings};
use crate::model::attempts::{Attempt, End, Lookup, Member, Stored};
use crate::model::faults::Answers;
use crate::model::world::{Send, State};

/// SQS's deduplication window, in milliseconds.
const DEDUPLICATION: u64 = 5 * 60_000;

/// A part of a reply by its number, or any other text.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
enum Part<'a> {
    Of(u32),
    Notice(&'a str),
}

/// Finds the cause of every second answer.
pub fn check(state: &State, findings: &mut Findings) {
    let mut answers: BTreeMap<(&str, Part<'_>), Vec<&Send>> = BTreeMap::new();
    let mut of_message: BTreeMap<&str, Vec<&Send>> = BTreeMap::new();
    for send in &state.sends {
        let part = if send.is_reply { Part::Of(send.callback.part) } else { Part::Notice(&send.body) };
        answers.entry((&send.wamid, part)).or_default().push(send);
        for wamid in send.turn.iter().filter(|_| send.is_reply) {
            of_message.entry(wamid).or_default().push(send);
        }
    }
    for ((wamid, _), mut sends) in answers {
        // In the order of the attempts: a request may arrive late.
        sends.sort_by_key(|send| send.attempt);
        for pair in sends.windows(2) {
            count(state, wamid, (pair[0], pair[1]), findings);
            same_words(state, wamid, (pair[0], pair[1]), findings);
        }
    }
    // The message was also answered in another turn.
    let mut counted = BTreeSet::new();
    for (wamid, mut sends) in of_message {
        sends.sort_by_key(|send| send.attempt);
        for pair in sends.windows(2).filter(|pair| pair[0].wamid != pair[1].wamid) {
            let is_second = !completes(state, &sends, (pair[0], pair[1]));
            if is_second && counted.insert((pair[0].attempt, pair[1].attempt)) {
                count(state, wamid, (pair[0], pair[1]), findings);
            }
            same_turn(state, wamid, (pair[0], pair[1]), findings);
        }
    }
    for (number, attempt) in state.attempts.all.iter().enumerate() {
        if let Some(what) = other_words(attempt) {
            let turn = attempt.asked.join(" ");
            findings.counts.changed_words += 1;
            findings.violations.push(format!("attempt {number} at {turn}: {what}"));
        }
    }
}

/// Whether the later of two sends is a part of a reply that was begun before the earlier one, and of which a status was
/// found: two replies were begun already, and one is completed.
fn completes(state: &State, sends: &[&Send], (earlier, later): (&Send, &Send)) -> bool {
    let found = state.attempts.all.get(later.attempt).and_then(|attempt| attempt.statuses.answer());
    let is_begun = |send: &&Send| send.attempt < earlier.attempt && send.wamid == later.wamid;
    found.is_some_and(|found| sends.iter().copied().filter(is_begun).any(|send| found.contains(&send.id)))
}

/// Counts a second answer by its cause.
fn count(state: &State, wamid: &str, (earlier, later): (&Send, &Send), findings: &mut Findings) {
    match cause(state, wamid, earlier, later) {
        Ok(cause) => *findings.counts.duplicate_replies_by_cause.entry(cause.name()).or_default() += 1,
        Err(why) => {
            findings.counts.duplicate_replies_outside += 1;
            findings.violations.push(format!("{wamid}: second answer: {why}"));
        }
    }
}

/// Checks that a second answer to the same turn has the same words, unless those of the first were not stored.
fn same_words(state: &State, wamid: &str, (earlier, later): (&Send, &Send), findings: &mut Findings) {
    let expected = state.plan.answering.answers == Answers::Echo && earlier.turn == later.turn;
    if later.is_reply && expected && earlier.body != later.body {
        findings.counts.changed_words += 1;
        findings.violations.push(format!("{wamid}: its second answer has other words"));
    }
}

/// Checks that a retry answers no other messages than the attempt before, unless two have failed.
fn same_turn(state: &State, wamid: &str, (earlier, later): (&Send, &Send), findings: &mut Findings) {
    let member = |send: &Send| state.attempts.all.get(send.attempt)?.member(wamid);
    let (Some(before), Some(now)) = (member(earlier), member(later)) else { return };
    // A copy is another message of the queue, and a handled message returns alone.
    if before.message_id != now.message_id || before.is_handled() {
        return;
    }
    // A process sends an answer that it made for these messages before, and could not send.
    let made = |before: &Attempt| before.words.is_some() && before.asked == later.turn;
    if state.attempts.all.iter().take(earlier.attempt).any(made) {
        return;
    }
    let Some(attempt) = state.attempts.all.get(later.attempt) else { return };
    let failed = state.attempts.of(wamid).filter(|(number, ..)| *number < later.attempt).count();
    let is_new = |joined: &&String| attempt.member(joined).is_some_and(|member| member.receive_count == 1);
    let joined = later.turn.iter().filter(|message| !earlier.turn.contains(message));
    let left = earlier.turn.iter().filter(|message| !later.turn.contains(message));
    // The queue may return a part of a group. A message that has an answer of its own is in that answer's turn again as soon
    // as the answer is known.
    let is_own = |left: &str, send: &Send| {
        let is_before = send.is_reply && send.attempt < later.attempt;
        is_before && send.turn.iter().any(|of| of == left) && !send.turn.iter().any(|of| of == wamid)
    };
    let is_missing = |left: &&String| {
        attempt.received.contains(*left) && !state.sends.iter().any(|send| is_own(left, send))
    };
    if (failed < 2 && joined.filter(is_new).count() > 0) || left.filter(is_missing).count() > 0 {
        let (turns, others) = (earlier.turn.join(" "), later.turn.join(" "));
        findings.counts.changed_turns += 1;
        findings.violations.push(format!("{wamid}: answered in the turn {turns} and again in {others}"));
    }
}

/// Whether an attempt had other words than a stored answer that the database returned, or another turn.
fn other_words(attempt: &Attempt) -> Option<&'static str> {
    let (words, stored) = (attempt.words.as_ref()?, attempt.stored_answers.answer()?);
    let text = |wamid: &String| stored.get(&row_id(&MessageKey::from(wamid.as_str()), &Role::User));
    // A reply to another number of messages is one to other messages.
    let last = attempt.asked.last().and_then(text).filter(|last| last.messages == attempt.asked.len());
    match last {
        Some(last) if last.text != *words => Some("its answer is not the stored one"),
        Some(last) if !attempt.bodies.iter().all(|body| last.text.contains(body.as_str())) => {
            Some("it sent another answer than the stored one")
        }
        _ => None,
    }
}

/// The cause of an answer after an earlier attempt's answer. `Err` if it violates the guarantee.
fn cause(state: &State, wamid: &str, earlier: &Send, later: &Send) -> Result<Cause, String> {
    let attempts = &state.attempts.all;
    let (Some(before), Some(now)) = (attempts.get(earlier.attempt), attempts.get(later.attempt)) else {
        return Err("sent by no attempt".to_owned());
    };
    if earlier.attempt == later.attempt {
        return Err("sent twice by one attempt".to_owned());
    }
    let (Some(was), Some(is)) = (before.of(wamid), now.of(wamid)) else {
        return Err("sent by no attempt".to_owned());
    };
    match &now.statuses {
        Lookup::Answered(shown) if shown.contains(&earlier.id) => {
            return Err("the database had a status of the first".to_owned());
        }
        Lookup::Skipped
            if now.messages.iter().any(|member| member.receive_count > 1)
                || has_status(state, earlier, now.at) =>
        {
            return Err("no check for a status of the first".to_owned());
        }
        // The turn of the first ended with a message that the queue did not return.
        Lookup::Answered(_)
            if !now.received.contains(&earlier.wamid) && has_status(state, earlier, now.at) =>
        {
            return Ok(Cause::Cut);
        }
        _ => {}
    }
    match is.response {
        // Nothing is recorded of a tap.
        _ if state.people.linking.taps.contains_key(wamid) => {}
        _ if !now.queried => return Err("no check for an earlier answer".to_owned()),
        Some(true) => return Err("the database had reported the answer".to_owned()),
        Some(false) if is.row_there => return Err("the rows existed and were not found".to_owned()),
        // The rows did not exist yet, or the database did not respond.
        Some(false) | None => {}
    }
    match before.stored {
        _ if before.lost => Ok(Cause::Lost),
        Stored::Unknown if was.end == End::Died => Ok(Cause::Died),
        Stored::Neither => Ok(Cause::Neither),
        Stored::Rows | Stored::Task => repeated(state, wamid, (before, was), is),
        Stored::Unknown if unlinked(state, wamid) => repeated(state, wamid, (before, was), is),
        Stored::Unknown => Err(format!("the earlier attempt ended {:?} without a record", was.end)),
    }
}

/// Whether a status of a sent message was stored before.
fn has_status(state: &State, send: &Send, at: u64) -> bool {
    let mut statuses = state.statuses.rows.values();
    statuses.any(|status| status.wamid.as_str() == send.id && status.stored_at < at)
}

/// Whether nothing is, or may be, recorded of the message: its sender is unlinked, or it is a step of linking.
fn unlinked(state: &State, wamid: &str) -> bool {
    let question = state.people.questions.get(wamid);
    question.is_some_and(|question| state.people.may_be_unlinked(question))
        || state.people.linking.is_step(wamid)
        || state.people.linking.is_refused(wamid)
}

/// The earlier attempt had succeeded: the cause of the redelivery, and of the missing check.
fn repeated(
    state: &State,
    wamid: &str,
    (before, was): (&Attempt, &Member),
    is: &Member,
) -> Result<Cause, String> {
    let unlinked = unlinked(state, wamid);
    if was.message_id == is.message_id {
        return match was.end {
            End::Died | End::Undeleted if unlinked => Ok(Cause::UndeletedUnlinked),
            End::Died | End::Undeleted => Ok(Cause::Undeleted),
            // With the rest of its turn, which failed.
            End::Returned if !state.plan.answering.window.is_zero() => Ok(Cause::Undeleted),
            end => Err(format!("the earlier attempt was recorded and ended {end:?}")),
        };
    }
    let Some(question) = state.people.questions.get(wamid) else {
        return Err("an answer to an unknown message".to_owned());
    };
    if question.out_of_order {
        return Ok(Cause::Copies);
    }
    let accepted = |member: &Member| question.copies.get(&member.message_id).copied();
    let (Some(first), Some(second)) = (accepted(was), accepted(is)) else {
        let of_message = |member: &Member| accepted(member).is_some();
        let answers =
            state.attempts.of(wamid).filter(|(_, attempt, of)| of_message(of) && attempt.sent_at.is_some());
        let mut same = state.attempts.of(wamid).map(|(_, attempt, _)| attempt).chain([before]);
        let is_again = |member: &Member| {
            member.message_id == is.message_id && matches!(member.end, End::Died | End::Undeleted)
        };
        return if state.attempts.of(wamid).any(|(.., member)| is_again(member)) {
            Ok(Cause::Undeleted)
        } else if same.any(|attempt| attempt.unconfirmed_tasks > 0) {
            Ok(Cause::UnconfirmedTask)
        } else if answers.count() > 1 {
            Ok(Cause::RestOfRepeated)
        } else {
            Err("a task repeated a sent part".to_owned())
        };
    };
    if second.abs_diff(first) < DEDUPLICATION {
        return Err("two copies within the deduplication window".to_owned());
    }
    Ok(if unlinked { Cause::LateUnlinked } else { Cause::Late })
}
