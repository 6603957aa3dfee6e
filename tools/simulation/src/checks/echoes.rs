//! Guarantee 2: the causes of duplicate replies.

use std::collections::BTreeMap;

use crate::checks::findings::Findings;
use crate::model::attempts::{Attempt, End, Stored};
use crate::model::world::{Send, State};

/// SQS's deduplication window, in milliseconds.
const DEDUPLICATION: u64 = 5 * 60_000;

/// Finds the cause of every duplicate reply.
pub fn check(state: &State, findings: &mut Findings) {
    let mut answers: BTreeMap<(&str, &str), Vec<&Send>> = BTreeMap::new();
    for send in &state.sends {
        answers.entry((&send.wamid, &send.body)).or_default().push(send);
    }
    for ((wamid, _), mut sends) in answers {
        // In the order of the attempts: a request may arrive late.
        sends.sort_by_key(|send| send.attempt);
        for pair in sends.windows(2) {
            match cause(state, pair[0], pair[1]) {
                Ok(cause) => *findings.counts.duplicate_replies_by_cause.entry(cause).or_default() += 1,
                Err(why) => {
                    findings.counts.duplicate_replies_outside += 1;
                    findings.violations.push(format!("{wamid}: duplicate reply: {why}"));
                }
            }
        }
    }
}

/// The cause of an answer after an earlier attempt's answer. `Err` if it violates the guarantee.
fn cause(state: &State, earlier: &Send, later: &Send) -> Result<&'static str, String> {
    let attempts = &state.attempts.all;
    let (Some(before), Some(now)) = (attempts.get(earlier.attempt), attempts.get(later.attempt)) else {
        return Err("sent by no attempt".to_owned());
    };
    if earlier.attempt == later.attempt {
        return Err("sent twice by one attempt".to_owned());
    }
    match now.response {
        // Nothing is recorded of a tap.
        _ if state.people.linking.taps.contains_key(&now.wamid) => {}
        _ if !now.queried => return Err("no check for an earlier answer".to_owned()),
        Some(true) => return Err("the database had reported the answer".to_owned()),
        Some(false) if now.rows_there => return Err("the rows existed and were not found".to_owned()),
        // The rows did not exist yet, or the database did not respond.
        Some(false) | None => {}
    }
    match before.stored {
        _ if before.lost => Ok("the response of the Graph API was lost"),
        Stored::Unknown if before.end == End::Died => Ok("the process crashed before recording"),
        Stored::Neither => Ok("neither the database nor the record queue confirmed"),
        Stored::Rows | Stored::Task => repeated(state, before, now),
        Stored::Unknown if unlinked(state, now) => repeated(state, before, now),
        Stored::Unknown => Err(format!("the earlier attempt ended {:?} without a record", before.end)),
    }
}

/// Whether nothing is, or may be, recorded of the message: its sender is unlinked, or it is a step of linking.
fn unlinked(state: &State, attempt: &Attempt) -> bool {
    let question = state.people.questions.get(&attempt.wamid);
    question.is_some_and(|question| state.people.may_be_unlinked(question))
        || state.people.linking.is_step(&attempt.wamid)
        || state.people.linking.is_refused(&attempt.wamid)
}

/// The earlier attempt had succeeded: the cause of the redelivery, and of the missing check.
fn repeated(state: &State, before: &Attempt, now: &Attempt) -> Result<&'static str, String> {
    let unlinked = unlinked(state, now);
    if before.message_id == now.message_id {
        return match before.end {
            End::Died | End::Undeleted if unlinked => {
                Ok("not deleted after handling, and nothing is recorded for an unlinked sender")
            }
            End::Died | End::Undeleted => Ok("not deleted after handling, rows not visible yet"),
            end => Err(format!("the earlier attempt was recorded and ended {end:?}")),
        };
    }
    let Some(question) = state.people.questions.get(&now.wamid) else {
        return Err("an answer to an unknown message".to_owned());
    };
    if question.out_of_order {
        return Ok("copies of a quarantined or dead-lettered message");
    }
    let accepted = |attempt: &Attempt| question.copies.get(&attempt.message_id).copied();
    let (Some(first), Some(second)) = (accepted(before), accepted(now)) else {
        let of_message = |attempt: &&Attempt| attempt.wamid == now.wamid && accepted(attempt).is_some();
        let answers =
            state.attempts.all.iter().filter(of_message).filter(|attempt| attempt.sent_at.is_some());
        let mut same = state.attempts.all.iter().filter(|attempt| attempt.wamid == now.wamid);
        return if same.any(|attempt| attempt.unconfirmed_tasks > 0) {
            Ok("the record queue accepted the rest of an answer without a confirmation")
        } else if answers.count() > 1 {
            Ok("the rest of an answer to a message that was answered again")
        } else {
            Err("a task repeated a sent part".to_owned())
        };
    };
    if second.abs_diff(first) < DEDUPLICATION {
        return Err("two copies within the deduplication window".to_owned());
    }
    if unlinked {
        return Ok("late duplicate of an unlinked sender without records");
    }
    Ok("late duplicate before the rows were visible")
}
