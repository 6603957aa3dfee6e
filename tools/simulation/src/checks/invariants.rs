//! The guarantees, checked after the run has settled.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reply::read_receipts::ReadReceipts;
use reply::split;
use reply::turns::HOLDS;
use shared::meta::wamid::Wamid;
use shared::supabase::rows::Role;

use crate::actors::queues::PAIRS;
use crate::checks::echoes;
use crate::checks::findings::Findings;
use crate::checks::{business, events, linking, links as linked, llm, loops, registration, statuses, turns};
use crate::model::attempts::{Attempt, Lookup, Member};
use crate::model::faults::Answers;
use crate::model::links::e164;
use crate::model::questions::{Kind, Question};
use crate::model::world::{Row, Send, State};

/// Maximum delay of an answer by the lookups, in milliseconds, plus their overhead.
const LOOKUPS: u64 = 2_000 + 10;

/// Maximum additional delay by marking the message as read, in milliseconds.
const SEEN: u64 = 2_000 + 10;

/// Maximum additional delay by the check of the record queue without a database, in milliseconds.
const QUEUE_CHECK: u64 = 3_000 + 10;

/// Maximum wait of a message while another sender is the only one with faults.
const MAX_WAIT: u64 = 60_000;

/// Maximum wait of a sender's messages after Meta accepts answers again: the longest backoff of the first
/// message, and the time of the others behind it.
const CATCH_UP: u64 = 300_000 + MAX_WAIT;

/// Maximum delay by a poison message ahead in the group, until it is quarantined.
const QUARANTINE_WAIT: u64 = 30_000;

/// Checks the guarantees.
pub fn check(state: &mut State, settled: bool, history_errors: Vec<String>) -> Findings {
    let mut findings = Findings::default();
    if !settled {
        findings.counts.lost += 1;
        findings.violations.push("the run does not settle".to_owned());
    }
    findings.counts.history_errors = history_errors.len() as u64;
    findings.violations.extend(history_errors);
    for (wamid, question) in &state.people.questions {
        if question.ok {
            rows_and_answer(state, wamid, question, &mut findings);
        }
    }
    if state.cut > 0 {
        findings.counts.cut_invocations = state.cut;
        findings.violations.push(format!("{} invocations of reply timed out", state.cut));
    }
    loops::check(state, &mut findings);
    business::check(state, &mut findings);
    echoes::check(state, &mut findings);
    order(state, &mut findings);
    delays(state, &mut findings);
    dead_letters(state, &mut findings);
    turns::check(state, &mut findings);
    llm::check(state, &mut findings);
    texts(state, &mut findings);
    links(state, &mut findings);
    linked::check(state, &mut findings);
    linking::check(state, &mut findings);
    registration::check(state, &mut findings);
    statuses::check(state, &mut findings);
    events::check(state, &mut findings);
    findings
}

/// Guarantee 1, and the first half of guarantee 2.
fn rows_and_answer(state: &State, wamid: &str, question: &Question, findings: &mut Findings) {
    let person = &state.people.senders[question.sender];
    if state.rows.values().any(|row| row.wamid == wamid && !person.owns(row.row.user_id)) {
        findings.counts.misfiled += 1;
        findings.violations.push(format!("{wamid} is in another user's history"));
    }
    let linking = &state.people.linking;
    let is_linked = person.account.is_some()
        && !question.uncertain
        && !linking.is_step(wamid)
        && !linking.is_refused(wamid);
    let answered = state.sends.iter().any(|send| answers(send, wamid));
    let refused = rejected_permanently(state, wamid);
    let of_role =
        |role: Role| state.rows.values().filter(move |row| row.wamid == wamid && row.row.role == role);
    let turn = of_role(Role::User).next().map_or(wamid, |row| row.turn.as_str());
    let of_turn = |row: &&Row| row.wamid == turn && row.row.role == Role::Assistant;
    let (user_rows, assistant_rows) =
        (of_role(Role::User).count(), state.rows.values().filter(of_turn).count());
    let explained = of_role(Role::User).any(|row| row.row.unanswered_because.is_some());
    let mut lost = |what: &str| {
        findings.counts.lost += 1;
        findings.violations.push(format!("{wamid} ({:?}): {what}", question.kind));
    };
    let silent = question.kind.is_silent()
        || loops::is_silenced(state, wamid, question)
        || llm::is_unanswered(state, wamid);
    let ignored = if question.kind.is_step() {
        registration::is_ignored(state, wamid)
    } else {
        registration::is_withheld(state, wamid)
    };
    let silent = silent || (!is_linked && ignored);
    if !answered && !refused && !silent {
        lost("no answer");
    }
    if !is_linked {
        return;
    }
    if question.kind == Kind::Long && !refused && !silent && !all_parts(state, wamid) {
        lost("a part of a long answer is missing");
    }
    if user_rows == 0 {
        lost("no user row");
    }
    if assistant_rows == 0 && !silent && !(refused && explained) {
        lost("no assistant row");
    }
    let says_what_it_is = |row: &Row| {
        row.row.kind.as_deref() == Some(question.kind.name())
            && row.row.refers_to.as_ref().map(Wamid::as_str) == question.refers_to.as_deref()
    };
    if !of_role(Role::User).all(says_what_it_is) {
        lost("its row has a wrong type or reference");
    }
    if user_rows > 1 || assistant_rows > 1 {
        findings.counts.duplicate_rows += 1;
        findings.violations.push(format!("{wamid}: {user_rows} user rows, {assistant_rows} assistant rows"));
    }
}

/// Whether a message answers another one, by itself or in its turn.
fn answers(send: &Send, wamid: &str) -> bool {
    send.turn.iter().any(|answered| answered == wamid)
}

/// Whether every part of an answer to a message arrived. Of an answer whose words are unknown, the rest is not sent.
fn all_parts(state: &State, wamid: &str) -> bool {
    let is_answered = |(_, attempt, _): (usize, &Attempt, &Member)| match (&attempt.words, attempt.kept) {
        (_, Some(false)) => true,
        (Some(words), _) => arrived(state, wamid, words.trim()),
        (None, _) => false,
    };
    state.attempts.of(wamid).any(is_answered)
}

fn arrived(state: &State, wamid: &str, answer: &str) -> bool {
    let arrived = |part: &str| state.sends.iter().any(|send| answers(send, wamid) && send.body == part);
    let (mut part, mut rest) = split::first(answer);
    while arrived(part) {
        if rest.is_empty() {
            return true;
        }
        (part, rest) = split::first(rest);
    }
    false
}

fn rejected_permanently(state: &State, wamid: &str) -> bool {
    let is_of = |attempt: &&Attempt| {
        attempt.member(wamid).is_some() || attempt.asked.iter().any(|asked| asked == wamid)
    };
    state.attempts.all.iter().filter(is_of).any(|attempt| attempt.rejected_permanently)
}

/// Guarantee 4: first answers have the order in which the queue accepted the messages.
fn order(state: &State, findings: &mut Findings) {
    let mut last: BTreeMap<(usize, Option<usize>, &str), (usize, &str)> = BTreeMap::new();
    for (wamid, Send { attempt, .. }) in first_answers(state) {
        let Some(question) = state.people.questions.get(wamid) else { continue };
        // Quarantined, dead-lettered and permanently rejected messages lose their place. A message without
        // text may have had no answer before.
        if loops::exceeds_turns(state, question) {
            continue;
        }
        if question.out_of_order || question.kind.is_silent() || rejected_permanently(state, wamid) {
            continue;
        }
        // Neither has one that got no answer first.
        let no_answer = |before: &Attempt, member: &Member| {
            before.registration == Some(false) || (member.is_handled() && before.sent_at.is_none())
        };
        let mut before = state.attempts.of(wamid).filter(|(number, ..)| number < attempt);
        if before.any(|(_, before, member)| no_answer(before, member)) {
            continue;
        }
        let Some((position, _)) = question.accepted else { continue };
        // Another number or user id means another message group.
        let group = (question.sender, question.version, question.number.as_str());
        let before = last.entry(group).or_insert((position, wamid));
        if before.0 > position {
            findings.counts.order_violations += 1;
            findings.violations.push(format!("{wamid} was answered after the later {}", before.1));
        } else {
            *before = (position, wamid);
        }
    }
}

/// The first answer to each message, with its wamid.
fn first_answers(state: &State) -> impl Iterator<Item = (&str, &Send)> {
    let mut seen = BTreeSet::new();
    let all = state.sends.iter().flat_map(|send| send.turn.iter().map(move |wamid| (wamid.as_str(), send)));
    all.filter(move |(wamid, _)| seen.insert(*wamid))
}

/// Maximum time for which a message is held, in milliseconds: five windows, and a second of rounding for each hold.
fn held(state: &State) -> u64 {
    let window = state.plan.answering.window;
    if window.is_zero() { 0 } else { millis(window * 5) + u64::from(HOLDS) * 1_000 }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Guarantee 3, and the other half of guarantee 4: no answer waits for the database, or for another sender.
fn delays(state: &State, findings: &mut Findings) {
    let limit = if state.plan.read_receipts == ReadReceipts::Off { LOOKUPS } else { LOOKUPS + SEEN };
    for attempt in &state.attempts.all {
        let limit = if attempt.registration.is_some() { limit + LOOKUPS } else { limit };
        // The answer is stored before it is sent.
        let limit = if attempt.kept.is_some() { limit + LOOKUPS } else { limit };
        let limit = if attempt.checked_queue { limit + QUEUE_CHECK } else { limit };
        // The conversation so far is read before a language model is asked.
        let limit = match state.plan.answering.answers {
            Answers::Llm => limit + LOOKUPS + attempt.model_ms,
            Answers::Echo | Answers::NumberedEcho => limit,
        };
        let Some(first) = attempt.messages.first() else { continue };
        // A notice looks for a status by itself.
        let is_notice = attempt.words.is_none() && attempt.statuses != Lookup::Skipped;
        let limit = if is_notice { limit + LOOKUPS } else { limit };
        if attempt.sent_at.is_some_and(|sent_at| sent_at - attempt.at > limit) {
            findings.counts.delayed_answers += 1;
            findings.violations.push(format!("{}: its answer waited for the database", first.wamid));
        }
    }
    if !state.plan.isolated {
        return;
    }
    let poisonous = state.people.questions.values().filter(|question| question.kind == Kind::Poison);
    let catch_up = state.plan.end + CATCH_UP + QUARANTINE_WAIT * poisonous.count() as u64;
    let held = held(state);
    let (most, catch_up) = (MAX_WAIT + held, catch_up + held);
    let mut last: BTreeMap<(usize, &str), u64> = BTreeMap::new();
    for (wamid, send) in first_answers(state) {
        let Some(question) = state.people.questions.get(wamid) else { continue };
        let Some((_, accepted)) = question.accepted else { continue };
        let before = last.insert((question.sender, &question.number), send.at).unwrap_or_default();
        // A language model keeps those behind a message waiting, too.
        let (accepted, most) = match state.plan.answering.answers {
            Answers::Llm => (accepted.max(before), most + llm::MAX_DELAY),
            Answers::Echo | Answers::NumberedEcho => (accepted, most),
        };
        let waited = (send.at - accepted) / 1000;
        if state.plan.rejects_statuses {
            if send.at - accepted > most {
                findings.counts.delayed_by_statuses += 1;
                findings.violations.push(format!("{wamid} waited {waited} s for statuses"));
            }
            continue;
        }
        // The first sender is the one with faults.
        let why = match question.sender {
            0 if state.plan.stubborn || question.out_of_order => continue,
            0 if send.at > catch_up.max(accepted + CATCH_UP + held) => {
                "longer than the one before it in its group"
            }
            0 => continue,
            _ if send.at - accepted > most => "for another sender",
            _ => continue,
        };
        findings.counts.delayed_senders += 1;
        findings.violations.push(format!("{wamid} waited {waited} s {why}"));
    }
}

/// Checks that delivered messages are valid, and have the correct sender and recipient.
fn texts(state: &State, findings: &mut Findings) {
    let mut wrong = |what: String| {
        findings.counts.wrong_texts += 1;
        findings.violations.push(what);
    };
    for wamid in &state.unsendable {
        wrong(format!("{wamid}: its answer is empty or too long for the Graph API"));
    }
    for wamid in &state.misread {
        wrong(format!("{wamid} was marked as read by another business number"));
    }
    // A language model answers an image without words, too.
    let echoes = state.plan.answering.answers != Answers::Llm;
    for send in &state.sends {
        let question = state.people.questions.get(&send.wamid);
        let is_needless = |question: &Question| {
            question.kind.is_never_answered()
                || (question.kind.is_silent() && echoes && !state.people.may_be_unlinked(question))
        };
        let mut of_turn = send.turn.iter().filter_map(|wamid| state.people.questions.get(wamid));
        if of_turn.all(is_needless) {
            wrong(format!("{}: answered, and needs no answer", send.wamid));
        }
        let right = question.is_some_and(|question| {
            send.from == question.number && state.people.senders[question.sender].is(&send.to)
        });
        if !right {
            wrong(format!("{}: answered from or to the wrong number", send.wamid));
        }
    }
}

/// Checks that an answered user with both number and user id in all messages is linked with both, without
/// other faults.
fn links(state: &State, findings: &mut Findings) {
    if !state.plan.isolated {
        return;
    }
    // Messages of linking complete no link.
    for send in state.sends.iter().filter(|send| send.is_reply) {
        let Some(question) = state.people.questions.get(&send.wamid) else { continue };
        let person = &state.people.senders[question.sender];
        let Some(link) = person.account.and_then(|account| state.people.links.0.get(&account)) else {
            continue;
        };
        let number = person.number.as_deref().map(e164);
        if person.always_says_both()
            && !person.unlinked
            && (link.whatsapp_phone != number || link.whatsapp_user_id != person.user_id)
        {
            findings.counts.incomplete_links += 1;
            findings.violations.push(format!("{}: its sender is not linked with both", send.wamid));
        }
    }
}

/// Guarantee 5: unreadable messages stay dead letters, no others are left, and none was dead-lettered for
/// waiting.
fn dead_letters(state: &State, findings: &mut Findings) {
    let queues = PAIRS.iter().filter_map(|(_, name, _)| state.broker.queue(name).ok());
    let letters = queues.flat_map(|queue| queue.view().messages);
    // Without a confirmation, a letter may be stored twice.
    let stored = letters.map(|letter| letter.body.as_str().to_owned()).collect::<BTreeSet<_>>().len();
    for wamid in &state.untried {
        findings.counts.untried += 1;
        findings.violations.push(format!("{wamid} became a dead letter without an attempt"));
    }
    let expected = usize::from(state.plan.unreadable);
    if stored != expected {
        findings.counts.lost += 1;
        findings.violations.push(format!("{stored} dead letters are stored, expected {expected}"));
    }
}
