//! Linking in the database: claims of codes, taps, registration texts, and removals by sessions.

use reply::code::Code;
use reply::links::{Claimed, Confirmed};
use uuid::Uuid;

use crate::Defect;
use crate::actors::follow::mark_uncertain;
use crate::model::codes::{Made, NewCode, NoCode};
use crate::model::linkers::{LinkChange, Session};
use crate::model::strangers::{Message, Step};
use crate::model::world::State;

/// The session of an account creates a code.
///
/// # Errors
/// See [`NoCode`].
pub fn create(state: &mut State, person: usize, account: Uuid) -> Result<NewCode, NoCode> {
    let new = state.codes.create(account, state.utc())?;
    let session = Session { account, person, link_id: new.link_id, at: state.now };
    state.people.linking.codes.insert(new.code.clone(), session);
    state.note("database", format_args!("creates a code of {account}"));
    Ok(new)
}

/// The session of an account removes its link.
pub fn remove(state: &mut State, account: Uuid) {
    let (now, defect) = (state.utc(), state.defect);
    state.codes.supersede(account);
    state.people.links.write(account, (None, None), now, defect);
    state.people.linking.journal.push(LinkChange::Removed(account));
    state.note("database", format_args!("removes the link of {account}"));
    unlink(state, account);
}

/// A sender claims a code.
pub fn claim(state: &mut State, code: &Code, step: &Step) -> Claimed {
    let (now, defect) = (state.utc(), state.defect);
    let claimed = state.codes.claim(code, step, now, defect);
    let wamid = &step.message.wamid;
    state.note("database", format_args!("{wamid}: {claimed:?}"));
    state.people.linking.claims.entry(wamid.clone()).or_default().push(claimed.clone());
    if let Claimed::Ask { link_id, .. } = claimed
        && defect == Some(Defect::LinkWithoutTap)
        && let Some((_, session)) = state.people.linking.code(link_id)
    {
        let account = session.account;
        let losers = state.people.links.link(account, step, now, defect).unwrap_or_default();
        linked(state, Made { account, link_id, losers }, step);
    }
    claimed
}

/// A sender taps on a button of a question.
pub fn confirm(state: &mut State, link_id: Uuid, accept: bool, step: &Step) -> Confirmed {
    let (now, defect) = (state.utc(), state.defect);
    let (confirmed, made) = state.codes.confirm(link_id, accept, step, &mut state.people.links, now, defect);
    let wamid = &step.message.wamid;
    state.note("database", format_args!("{wamid}: {confirmed:?}"));
    if let Confirmed::Expired { answer } = confirmed {
        let claims = &mut state.people.linking.claims;
        claims.entry(wamid.clone()).or_default().push(Claimed::Expired { answer });
    }
    if let Some(made) = made {
        linked(state, made, step);
    }
    confirmed
}

/// An unlinked sender claims the registration text.
pub fn claim_text(state: &mut State, message: &Message, with_number: bool) -> bool {
    let (now, defect) = (state.utc(), state.defect);
    let permitted = state.codes.strangers.claim_text(message, with_number, now, defect);
    if permitted {
        state.people.linking.permitted.entry(message.wamid.clone()).or_insert(state.now);
    }
    permitted
}

/// Records a link, and that messages which are not recorded yet may find another user, or none.
fn linked(state: &mut State, made: Made, step: &Step) {
    let Made { account, link_id, losers } = made;
    let wamid = step.message.wamid.clone();
    for loser in &losers {
        unlink(state, *loser);
    }
    if let Some(person) = state.people.questions.get(&wamid).map(|question| question.sender)
        && state.people.senders[person].owns(account)
    {
        state.people.senders[person].account = Some(account);
        state.people.senders[person].unlinked = false;
        mark_uncertain(state, person, usize::MAX);
    }
    let change = LinkChange::Linked { account, link_id, wamid, identity: step.identity.clone(), losers };
    state.people.linking.journal.push(change);
}

/// Records that an account may be linked no longer.
fn unlink(state: &mut State, account: Uuid) {
    for sender in 0..state.people.senders.len() {
        if state.people.senders[sender].account == Some(account) {
            state.people.senders[sender].unlinked = true;
            mark_uncertain(state, sender, usize::MAX);
        }
    }
}
