//! Links by their holders: each is proven by the session and by the phone, and steps of linking are in no history.

use std::collections::{BTreeMap, BTreeSet};

use shared::supabase::rows::Role;
use uuid::Uuid;

use crate::checks::findings::Findings;
use crate::model::clock::EPOCH_SECONDS;
use crate::model::codes::VALIDITY;
use crate::model::linkers::{Button, LinkChange, Session};
use crate::model::people::People;
use crate::model::questions::Question;
use crate::model::world::{Send, State};

/// Maximum number of answered wrong codes and taps of a sender within an hour.
const MOST_WRONG: usize = 5;

/// Checks every link, every step, and what is left of the links.
pub fn check(state: &State, findings: &mut Findings) {
    proofs(&state.people, findings);
    steps(state, findings);
    unfinished(&state.people, findings);
    remaining(&state.people, findings);
    histories(state, findings);
}

/// Checks that no link is made without a code of the account's session and a tap, both sent by the linked person, and that no
/// code links twice.
fn proofs(people: &People, findings: &mut Findings) {
    let mut used = BTreeSet::new();
    for change in &people.linking.journal {
        let LinkChange::Linked { account, link_id, wamid, identity, .. } = change else { continue };
        if !is_proven(people, *account, *link_id, wamid, identity) || !used.insert(*link_id) {
            findings.counts.unproven_links += 1;
            findings.violations.push(format!("{wamid} linked {account} without a proof of its own"));
        }
    }
}

fn is_proven(
    people: &People,
    account: Uuid,
    link_id: Uuid,
    wamid: &str,
    identity: &(Option<String>, Option<String>),
) -> bool {
    let linking = &people.linking;
    let Some((code, session)) = linking.code(link_id) else { return false };
    let Some(tap) = people.questions.get(wamid) else { return false };
    let person = &people.senders[tap.sender];
    let number = identity.0.as_ref().map(|number| number.trim_start_matches('+'));
    let mut ids = number.into_iter().chain(identity.1.as_deref());
    session.account == account
        && linking.taps.get(wamid) == Some(&Button { link_id, accept: true })
        && ids.all(|id| person.is(id))
        && sent(people, tap.sender, code).any(|(_, question)| question.number == tap.number)
}

/// The messages in which a person sent a code.
fn sent<'a>(
    people: &'a People,
    sender: usize,
    code: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Question)> {
    let with_code = people.linking.sent.iter().filter(move |(_, sent)| *sent == code);
    let questions = with_code.filter_map(|(wamid, _)| Some((wamid.as_str(), people.questions.get(wamid)?)));
    questions.filter(move |(_, question)| question.sender == sender && question.written_at.is_some())
}

/// Checks that steps of linking are recorded nowhere.
fn steps(state: &State, findings: &mut Findings) {
    let recorded: BTreeSet<&str> = state.rows.values().map(|row| row.wamid.as_str()).collect();
    for wamid in recorded.into_iter().filter(|wamid| state.people.linking.is_step(wamid)) {
        findings.counts.recorded_steps += 1;
        findings.violations.push(format!("{wamid}: a step of linking is in a history"));
    }
}

/// Checks that whoever sent a code in time, and tapped in time, is linked, if nothing else decided about the code.
fn unfinished(people: &People, findings: &mut Findings) {
    let linking = &people.linking;
    let linked: BTreeSet<Uuid> = (linking.journal.iter())
        .filter_map(|change| match change {
            LinkChange::Linked { link_id, .. } => Some(*link_id),
            LinkChange::Removed(_) => None,
        })
        .collect();
    for (wamid, Button { link_id, accept }) in &linking.taps {
        let (Some(tap), Some((code, session))) = (people.questions.get(wamid), linking.code(*link_id)) else {
            continue;
        };
        let in_time =
            *accept && tap.ok && tap.sender == session.person && is_in_time(people, tap, code, session);
        if in_time && !linked.contains(link_id) && is_undisturbed(people, code, session) {
            findings.counts.unfinished_links += 1;
            findings.violations.push(format!("{wamid}: its sender has done every step and is not linked"));
        }
    }
}

fn is_in_time(people: &People, tap: &Question, code: &str, session: &Session) -> bool {
    let validity = VALIDITY.num_seconds().unsigned_abs();
    // Within the second, a time has the order of arrival.
    let limit = EPOCH_SECONDS + session.at / 1_000 + validity - 1;
    let first = sent(people, session.person, code).filter(|(_, question)| question.number == tap.number);
    let first = first.filter_map(|(_, question)| question.written_at.filter(|_| question.ok)).min();
    let Some((first, tapped)) = first.zip(tap.written_at) else { return false };
    first < limit && tapped < limit.max(first + validity - 1)
}

/// Whether nobody else sent the code, its holder sent little and never tapped *Not me*, and the session neither created
/// another code nor removed the link.
fn is_undisturbed(people: &People, code: &str, session: &Session) -> bool {
    let linking = &people.linking;
    let Session { account, person, link_id, at } = *session;
    let senders = linking.sent.iter().filter(|(_, sent)| *sent == code);
    let of_person = |question: &&Question| question.sender == person && question.kind.is_step();
    let others = linking.codes.values().any(|other| other.account == account && other.at > at);
    let removed =
        linking.journal.iter().any(|change| matches!(change, LinkChange::Removed(of) if *of == account));
    let declined = |(wamid, button): (&String, &Button)| {
        *button == Button { link_id, accept: false }
            && people.questions.get(wamid).is_some_and(|question| question.sender == person)
    };
    senders.filter_map(|(wamid, _)| people.questions.get(wamid)).all(|question| question.sender == person)
        && people.questions.values().filter(of_person).count() <= MOST_WRONG
        && !others
        && !removed
        && !linking.taps.iter().any(declined)
}

/// Checks that whoever was linked last still is.
fn remaining(people: &People, findings: &mut Findings) {
    let mut linked = BTreeMap::new();
    for change in &people.linking.journal {
        match change {
            LinkChange::Linked { account, identity, losers, wamid, .. } => {
                linked.retain(|account, _| !losers.contains(account));
                linked.insert(*account, (identity, wamid));
            }
            LinkChange::Removed(account) => linked.retain(|linked, _| linked != account),
        }
    }
    for (account, ((number, user_id), wamid)) in linked {
        let link = people.links.0.get(&account);
        let is_linked = link.is_some_and(|link| {
            (number.is_none() || link.whatsapp_phone == *number)
                && (user_id.is_none() || link.whatsapp_user_id == *user_id)
        });
        if !is_linked {
            findings.counts.unfinished_links += 1;
            findings.violations.push(format!("{wamid} linked {account}, which is not linked any more"));
        }
    }
}

/// Checks that messages are in the history of the account that was linked when they were written, and so are their replies:
/// but for one that was sent and recorded a second time after the link had changed.
fn histories(state: &State, findings: &mut Findings) {
    for (wamid, question) in &state.people.questions {
        let of_message = state.rows.values().filter(|row| row.wamid == *wamid);
        let of_turn = |send: &&Send| send.is_reply && send.turn.contains(wamid);
        let is_again = question.relinked && state.sends.iter().filter(of_turn).count() > 1;
        let mut rows = of_message.filter(|row| !is_again || row.row.role == Role::User);
        if !question.uncertain && rows.any(|row| Some(row.row.user_id) != question.account) {
            findings.counts.misfiled += 1;
            findings.violations.push(format!("{wamid} is in the history of an earlier or later link"));
        }
    }
}
