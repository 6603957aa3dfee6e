//! The promises, checked when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use reply::seen::ReadReceipts;
use reply::split;
use shared::message::Role;

use super::echoes;
use super::meta::{Kind, Question};
use super::queues::PAIRS;
use super::report::Findings;
use super::world::{Row, Send, State};
use super::{business, events, follow, links, loops, statuses};

/// How long the look-ups may hold an answer back, in milliseconds, and what they take at most beyond that.
const LOOK_UPS: u64 = 2_000 + 10;

/// What marking the message as read may add to that, in milliseconds.
const SEEN: u64 = 2_000 + 10;

/// How long a message may wait for its answer while another sender is the only one in trouble.
const UNDISTURBED: u64 = 60_000;

/// How long a sender's messages may wait after Meta takes answers to them again: the longest wait of the first
/// of them, and what the others take behind it.
const CAUGHT_UP: u64 = 300_000 + UNDISTURBED;

/// What a poisonous message may hold up those behind it, until it is set aside.
const SET_ASIDE: u64 = 30_000;

/// Checks the promises.
pub fn check(state: &mut State, settled: bool, history_errors: Vec<String>) -> Findings {
    let mut findings = Findings::default();
    if !settled {
        findings.lost += 1;
        findings.violations.push("the run does not come to rest".to_owned());
    }
    findings.history_errors = history_errors.len() as u64;
    findings.violations.extend(history_errors);
    for (wamid, question) in &state.people.questions {
        if question.ok {
            rows_and_answer(state, wamid, question, &mut findings);
        }
    }
    if state.cut > 0 {
        findings.cut = state.cut;
        findings
            .violations
            .push(format!("{} invocations of reply were cut off at their deadline", state.cut));
    }
    loops::check(state, &mut findings);
    business::check(state, &mut findings);
    echoes::check(state, &mut findings);
    order(state, &mut findings);
    delays(state, &mut findings);
    dead_letters(state, &mut findings);
    texts(state, &mut findings);
    links(state, &mut findings);
    follow::check(state, &mut findings);
    statuses::check(state, &mut findings);
    events::check(state, &mut findings);
    findings
}

/// Promise 1, and the first half of promise 2.
fn rows_and_answer(state: &State, wamid: &str, question: &Question, findings: &mut Findings) {
    let account = state.people.senders[question.sender].account;
    if state.rows.values().any(|row| row.wamid == wamid && Some(row.row.user_id) != account) {
        findings.misfiled += 1;
        findings.violations.push(format!("{wamid} is in another person's history"));
    }
    let linked = account.filter(|_| !question.uncertain);
    let answered = state.sends.iter().any(|send| send.wamid == wamid);
    let refused = refused_for_good(state, wamid);
    let of_role =
        |role: Role| state.rows.values().filter(move |row| row.wamid == wamid && row.row.role == role);
    let (asked, told) = (of_role(Role::User).count(), of_role(Role::Assistant).count());
    let explained = of_role(Role::User).any(|row| row.row.unanswered_because.is_some());
    let mut lost = |what: &str| {
        findings.lost += 1;
        findings.violations.push(format!("{wamid} ({:?}): {what}", question.kind));
    };
    let silent = question.kind.is_silent() || loops::is_silenced(state, wamid, question);
    if !answered && !refused && !silent {
        lost("no answer");
    }
    if linked.is_none() {
        return;
    }
    if question.kind == Kind::Long && !refused && !silent && !all_parts(state, wamid, &question.text) {
        lost("a part of a long answer is missing");
    }
    if asked == 0 {
        lost("no user row");
    }
    if told == 0 && !silent && !(refused && explained) {
        lost("no assistant row");
    }
    let says_what_it_is = |row: &Row| {
        row.row.kind.as_deref() == Some(question.kind.name()) && row.row.refers_to == question.refers_to
    };
    if !of_role(Role::User).all(says_what_it_is) {
        lost("its row does not say what it is, or what it is about");
    }
    if asked > 1 || told > 1 {
        findings.duplicate_rows += 1;
        findings.violations.push(format!("{wamid}: {asked} user rows, {told} assistant rows"));
    }
}

/// Whether every part of an answer arrived.
fn all_parts(state: &State, wamid: &str, answer: &str) -> bool {
    let arrived = |part: &str| state.sends.iter().any(|send| send.wamid == wamid && send.body == part);
    let (mut part, mut rest) = split::first(answer);
    while arrived(part) {
        if rest.is_empty() {
            return true;
        }
        (part, rest) = split::first(rest);
    }
    false
}

fn refused_for_good(state: &State, wamid: &str) -> bool {
    state.attempts.all.iter().any(|attempt| attempt.wamid == wamid && attempt.refused_for_good)
}

/// Promise 4: first answers come in the order in which the queue accepted the questions.
fn order(state: &State, findings: &mut Findings) {
    let mut last: BTreeMap<(usize, Option<usize>, &str), (usize, &str)> = BTreeMap::new();
    for Send { wamid, .. } in first_answers(state) {
        let Some(question) = state.people.questions.get(wamid) else { continue };
        // One that was set aside, dead, or refused for good has lost its place. One without words may have been
        // answered with silence before.
        if loops::writes_much(state, question) {
            continue;
        }
        if question.out_of_order || question.kind.is_silent() || refused_for_good(state, wamid) {
            continue;
        }
        let Some((position, _)) = question.accepted else { continue };
        // Whoever gets another number or user id gets another message group.
        let group = (question.sender, question.version, question.number.as_str());
        let before = last.entry(group).or_insert((position, wamid));
        if before.0 > position {
            findings.order_violations += 1;
            findings.violations.push(format!("{wamid} was answered after {}, which came later", before.1));
        } else {
            *before = (position, wamid);
        }
    }
}

/// The first text that answers each message.
fn first_answers(state: &State) -> impl Iterator<Item = &Send> {
    let mut seen = std::collections::BTreeSet::new();
    state.sends.iter().filter(move |send| seen.insert(&send.wamid))
}

/// Promise 3, and the other half of promise 4: nobody waits for the database, or for somebody else.
fn delays(state: &State, findings: &mut Findings) {
    let limit = if state.plan.read_receipts == ReadReceipts::Off { LOOK_UPS } else { LOOK_UPS + SEEN };
    for attempt in &state.attempts.all {
        if attempt.sent_at.is_some_and(|sent_at| sent_at - attempt.at > limit) {
            findings.delayed_answers += 1;
            findings.violations.push(format!("{}: its answer waited for the database", attempt.wamid));
        }
    }
    if !state.plan.isolated {
        return;
    }
    let poisonous = state.people.questions.values().filter(|question| question.kind == Kind::Poison);
    let caught_up = state.plan.end + CAUGHT_UP + SET_ASIDE * poisonous.count() as u64;
    for send in first_answers(state) {
        let Some(question) = state.people.questions.get(&send.wamid) else { continue };
        let Some((_, accepted)) = question.accepted else { continue };
        let waited = (send.at - accepted) / 1000;
        if state.plan.refuses_statuses {
            if send.at - accepted > UNDISTURBED {
                findings.delayed_by_statuses += 1;
                findings.violations.push(format!("{} waited {waited} s for statuses", send.wamid));
            }
            continue;
        }
        // The first sender is the one in trouble.
        let why = match question.sender {
            0 if state.plan.stubborn || question.out_of_order => continue,
            0 if send.at > caught_up.max(accepted + CAUGHT_UP) => {
                "longer than the one before it in its group"
            }
            0 => continue,
            _ if send.at - accepted > UNDISTURBED => "for another sender",
            _ => continue,
        };
        findings.delayed_senders += 1;
        findings.violations.push(format!("{} waited {waited} s {why}", send.wamid));
    }
}

/// What reaches a phone fits, comes from the number that was written to, and goes to who wrote.
fn texts(state: &State, findings: &mut Findings) {
    let mut wrong = |what: String| {
        findings.wrong_texts += 1;
        findings.violations.push(what);
    };
    for wamid in &state.unsendable {
        wrong(format!("{wamid}: its answer is empty or too long for the Graph API"));
    }
    for wamid in &state.misread {
        wrong(format!("{wamid} was marked as read by a number that it was not written to"));
    }
    for send in &state.sends {
        let question = state.people.questions.get(&send.wamid);
        let needless = question.is_some_and(|question| {
            question.kind.is_never_answered()
                || (question.kind.is_silent() && !state.people.may_be_unlinked(question))
        });
        if needless {
            wrong(format!("{}: answered, and there is nothing to answer", send.wamid));
        }
        let right = question.is_some_and(|question| {
            send.from == question.number && state.people.senders[question.sender].is(&send.to)
        });
        if !right {
            wrong(format!("{}: answered from or to the wrong number", send.wamid));
        }
    }
}

/// Who wrote with both number and user id, and was answered, is linked with both, if nothing went wrong.
fn links(state: &State, findings: &mut Findings) {
    if !state.plan.isolated {
        return;
    }
    for send in &state.sends {
        let Some(question) = state.people.questions.get(&send.wamid) else { continue };
        let person = &state.people.senders[question.sender];
        let Some(link) = person.account.and_then(|account| state.people.links.0.get(&account)) else {
            continue;
        };
        let number = person.number.as_deref().map(links::e164);
        if person.always_says_both()
            && (link.whatsapp_phone != number || link.whatsapp_user_id != person.user_id)
        {
            findings.unlearned += 1;
            findings.violations.push(format!("{}: its sender is not linked with both", send.wamid));
        }
    }
}

/// Promise 5: what nobody can read is kept, and nothing else is left; nobody is punished for waiting.
fn dead_letters(state: &State, findings: &mut Findings) {
    let queues = PAIRS.iter().filter_map(|(_, name, _)| state.broker.queue(name).ok());
    let letters = queues.flat_map(|queue| queue.view().messages);
    // One whose queue did not confirm it may be there twice.
    let kept = letters.map(|letter| letter.body.as_str().to_owned()).collect::<BTreeSet<_>>().len();
    for wamid in &state.untried {
        findings.untried += 1;
        findings.violations.push(format!("{wamid} became a dead letter and was never tried"));
    }
    let expected = usize::from(state.plan.unreadable);
    if kept != expected {
        findings.lost += 1;
        findings.violations.push(format!("{kept} dead letters are kept, {expected} should be"));
    }
}
