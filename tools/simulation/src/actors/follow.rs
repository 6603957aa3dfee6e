//! Links in the database: identity changes from Meta are applied, and operators edit links.

use std::collections::BTreeSet;
use std::sync::Arc;

use reply::events::{ChangeOutcome, ChangeResult};
use reply::incoming::Event;
use reply::users::Linked;
use tokio::time::sleep;
use uuid::Uuid;

use crate::Defect;
use crate::actors::tables;
use crate::model::changes::{Identity, Removal};
use crate::model::events;
use crate::model::world::{State, World};

/// Records that an identity change is dead-lettered: messages of the user no longer wait for it.
pub fn dead_letter(state: &mut State, mark: &str) {
    let Some(change) = state.people.changes.get(mark) else { return };
    let (sender, version) = (change.sender, change.version);
    state.people.accepted_changes.retain(|accepted| (accepted.0, accepted.1) != (sender, version));
    mark_uncertain(state, sender, usize::MAX);
}

/// Stores an event and applies its changes, like the database's function.
pub fn store(state: &mut State, event: &Event) -> Vec<ChangeResult> {
    let is_new = tables::store_event(state, event);
    if event.changes.is_empty() {
        return Vec::new();
    }
    if !is_new && !state.has_defect(Defect::ApplyAgain) {
        return vec![ChangeResult { outcome: ChangeOutcome::AppliedBefore, user_id: None }];
    }
    let mark = events::mark(event);
    let defect = state.defect;
    let mut results = Vec::new();
    for change in &event.changes {
        let (outcome, user_id) = state.people.links.apply(change, event.waba_id.as_deref(), defect);
        state.note("database", format_args!("{mark}: {outcome:?}"));
        results.push(ChangeResult { outcome, user_id });
        if outcome == ChangeOutcome::Applied {
            applied(state, &mark);
        }
    }
    results
}

fn applied(state: &mut State, mark: &str) {
    let Some(change) = state.people.changes.get(mark) else { return };
    let (sender, version) = (change.sender, change.version);
    for change in state.people.changes.values_mut() {
        change.applied |= (change.sender, change.version) == (sender, version);
    }
    // Messages written since may or may not have waited behind the change: see `People::accept`.
    mark_uncertain(state, sender, version);
}

/// Records that a link was completed: messages under a former number or user id contradict it now.
pub fn link_completed(state: &mut State, account: Uuid) {
    let senders = &state.people.senders;
    if let Some(sender) = senders.iter().position(|person| person.account == Some(account)) {
        mark_uncertain(state, sender, senders[sender].version);
    }
}

/// Called for every lookup that will complete a link: an operator may be faster.
pub fn lookup(world: &Arc<World>, state: &mut State, found: Option<Linked>) {
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

/// An operator removes the number or the user id from a link.
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
    state.people.removals.push(Removal { sender, left, written });
}

/// An operator writes the number and user id of a link.
pub fn write(state: &mut State, sender: usize, account: Uuid, new: Identity) {
    let (now, defect) = (state.utc(), state.defect);
    state.people.links.write(account, new, now, defect);
    state.note("operator", format_args!("relinks {account}"));
    mark_uncertain(state, sender, usize::MAX);
}

/// Marks messages that are not recorded: they may have an unlinked sender now.
pub fn mark_uncertain(state: &mut State, sender: usize, version: usize) {
    let recorded: BTreeSet<&str> = state.rows.values().map(|row| row.wamid.as_str()).collect();
    state.people.mark_uncertain(sender, version, |wamid| recorded.contains(wamid));
}
