//! What the database and operators make of links: changes that Meta tells are applied, links are written and taken out.

use std::collections::BTreeSet;
use std::sync::Arc;

use reply::events::{Followed, Outcome};
use reply::incoming::Event;
use reply::users::Linked;
use tokio::time::sleep;
use uuid::Uuid;

use super::Break;
use super::changes::{Identity, TakenOut};
use super::events;
use super::report::Findings;
use super::world::{State, World};

/// A change has become a dead letter: its person's messages do not wait for it any more.
pub fn give_up(state: &mut State, mark: &str) {
    let Some(change) = state.people.changes.get(mark) else { return };
    let (sender, version) = (change.sender, change.version);
    state.people.told.retain(|told| (told.0, told.1) != (sender, version));
    unsettle(state, sender, usize::MAX);
}

/// Keeps an event and applies its changes, as the database's function does.
pub fn keep(state: &mut State, event: &Event) -> Vec<Followed> {
    let is_new = events::keep(state, event);
    if event.changes.is_empty() {
        return Vec::new();
    }
    if !is_new && !state.breaks(Break::ApplyAgain) {
        return vec![Followed { outcome: Outcome::AppliedBefore, user_id: None }];
    }
    let mark = events::mark(event);
    let broken = state.broken;
    let mut followed = Vec::new();
    for change in &event.changes {
        let (outcome, user_id) = state.people.links.follow(change, event.waba_id.as_deref(), broken);
        state.note("database", format_args!("{mark}: {outcome:?}"));
        followed.push(Followed { outcome, user_id });
        if outcome == Outcome::Applied {
            applied(state, &mark);
        }
    }
    followed
}

fn applied(state: &mut State, mark: &str) {
    let Some(change) = state.people.changes.get(mark) else { return };
    let (sender, version) = (change.sender, change.version);
    for change in state.people.changes.values_mut() {
        change.applied |= (change.sender, change.version) == (sender, version);
    }
    // Those that were written since were waiting behind it, or not: see `People::accept`.
    unsettle(state, sender, version);
}

/// A link has got its second part: what its person wrote under a former number or user id contradicts it.
pub fn learned(state: &mut State, account: Uuid) {
    let senders = &state.people.senders;
    if let Some(sender) = senders.iter().position(|person| person.account == Some(account)) {
        unsettle(state, sender, senders[sender].version);
    }
}

/// Somebody is looked up of whom something will be learned: an operator may be faster.
pub fn look_up(world: &Arc<World>, state: &mut State, found: Option<Linked>) {
    let Some(Linked { user_id, missing: Some(_) }) = found else { return };
    let mut senders = state.people.senders.iter();
    let Some(sender) = senders.position(|person| person.account == Some(user_id)) else { return };
    if state.people.unlinked_soon.remove(&sender) {
        let (world, wait) = (world.clone(), state.chance.millis(0, 1_000));
        state.busy += 1;
        tokio::spawn(async move {
            sleep(wait).await;
            unlink(&mut world.lock(), sender);
            world.done();
        });
    }
}

/// An operator takes out the number or the user id.
pub fn unlink(state: &mut State, sender: usize) {
    let number = state.chance.in_1000(500);
    let Some(account) = state.people.senders[sender].account else { return };
    let Some(link) = state.people.links.0.get(&account).cloned() else { return };
    let takes_number = (number && link.whatsapp_phone.is_some()) || link.whatsapp_user_id.is_none();
    let new = if takes_number { (None, link.whatsapp_user_id) } else { (link.whatsapp_phone, None) };
    state.people.senders[sender].unlinked = true;
    write(state, sender, account, new);
    let Some(left) = state.people.links.0.get(&account) else { return };
    let left = (left.whatsapp_phone.is_some(), left.whatsapp_user_id.is_some());
    let questions = state.people.questions.iter();
    let written =
        questions.filter(|(_, question)| question.version.is_some()).map(|(wamid, _)| wamid.clone());
    let written = written.collect();
    state.people.taken_out.push(TakenOut { sender, left, written });
}

/// An operator writes somebody's number and user id.
pub fn write(state: &mut State, sender: usize, account: Uuid, new: Identity) {
    let (now, broken) = (state.utc(), state.broken);
    state.people.links.write(account, new, now, broken);
    state.note("operator", format_args!("links {account} anew"));
    unsettle(state, sender, usize::MAX);
}

/// What somebody wrote and what is not recorded may be nobody's now.
pub fn unsettle(state: &mut State, sender: usize, version: usize) {
    let recorded: BTreeSet<&str> = state.rows.values().map(|row| row.wamid.as_str()).collect();
    state.people.unsettle(sender, version, |wamid| recorded.contains(wamid));
}

/// What is linked is its person's, and what was taken out stays out.
pub fn check(state: &State, findings: &mut Findings) {
    let people = &state.people;
    for (index, person) in people.senders.iter().enumerate() {
        let Some(link) = person.account.and_then(|account| people.links.0.get(&account)) else { continue };
        let number = link.whatsapp_phone.as_deref().map(|number| number.trim_start_matches('+'));
        let user_id = link.whatsapp_user_id.as_deref();
        let strange = [number, user_id].into_iter().flatten().any(|id| !person.is(id));
        // Who moved and whom Meta told of, and no operator touched: what they have now.
        let is_told =
            people.changes.values().any(|change| change.sender == index && change.version == person.version);
        let old = is_told
            && (number.is_some_and(|number| person.number.as_deref() != Some(number))
                || user_id.is_some_and(|user_id| person.user_id.as_deref() != Some(user_id)));
        if strange || old {
            findings.wrong_links += 1;
            findings
                .violations
                .push(format!("person {index} is linked with what is not theirs, or no longer"));
        }
    }
    for TakenOut { sender, left, written } in &people.taken_out {
        let account = people.senders[*sender].account;
        let Some(link) = account.and_then(|account| people.links.0.get(&account)) else { continue };
        let is_back =
            (link.whatsapp_phone.is_some() && !left.0) || (link.whatsapp_user_id.is_some() && !left.1);
        let is_empty = link.whatsapp_phone.is_none() && link.whatsapp_user_id.is_none();
        let recorded = state
            .rows
            .values()
            .filter(|row| people.questions.contains_key(&row.wamid))
            .find(|row| is_empty && Some(row.row.user_id) == account && !written.contains(&row.wamid));
        if is_back || recorded.is_some() {
            findings.relinked += 1;
            findings.violations.push(format!("person {sender} was unlinked and is linked again"));
        }
    }
}
