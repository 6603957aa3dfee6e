//! Changes of users' numbers and user ids, with or without an event from Meta; events from long ago or in
//! fields where they must be ignored; transfers of numbers; operators who link and unlink.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::sleep;

use crate::actors::follow::{mark_uncertain, unlink, write};
use crate::actors::meta;
use crate::model::changes::{Change, Form, Identity, IdentityEvent};
use crate::model::clock::EPOCH_SECONDS;
use crate::model::links::e164;
use crate::model::posts::{Post, again};
use crate::model::world::{State, World};

/// A time long before every link, in seconds since 1970: July 2023.
const LONG_AGO: u64 = 1_690_000_000;

const MINUTE: u64 = 60_000;

/// Maximum number of five-minute steps to wait for a change to be applied before the next one.
const MAX_STEPS: u32 = 160;

/// Executes every identity event at its time.
pub fn start(world: &Arc<World>) {
    let identity_events = std::mem::take(&mut world.lock().people.identity_events);
    for (after, identity_event) in identity_events {
        if let IdentityEvent::Unlinks { sender, now: false } = identity_event {
            world.lock().people.unlinked_soon.insert(sender);
            continue;
        }
        world.lock().busy += 1;
        let world = world.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(after)).await;
            execute(&world, identity_event).await;
            world.done();
        });
    }
}

async fn execute(world: &Arc<World>, identity_event: IdentityEvent) {
    match identity_event {
        IdentityEvent::Moves { sender, back, at_once } => {
            // Two changes in one second may arrive in either order, and only one order forms a chain: only
            // for runs with a deliberate defect.
            let at_once = back && at_once && world.lock().defect.is_some();
            moves(world, sender, back, at_once).await;
        }
        IdentityEvent::False { sender, long_ago } => {
            let posts = {
                let state = &mut *world.lock();
                let form = state.chance.pick(Form::Elsewhere("history"), &[Form::Elsewhere("holograms")]);
                let (form, at) = if long_ago { (Form::System, LONG_AGO) } else { (form, seconds(state)) };
                let previous = identity(state, sender);
                let current = new_identity(state, &previous, false);
                change_posts(state, sender, None, form, at, &previous, &current)
            };
            meta::start(world, posts);
        }
        IdentityEvent::TransfersNumber { from, to } => transfers_number(world, from, to).await,
        IdentityEvent::Unlinks { sender, .. } => unlink(&mut world.lock(), sender),
    }
}

/// A user gets another number, user id or both, and possibly the former identity back.
async fn moves(world: &Arc<World>, sender: usize, back: bool, at_once: bool) {
    let (posts, first, former, back_at_once, back) = {
        let state = &mut *world.lock();
        let former = identity(state, sender);
        let both = former.0.is_some() && former.1.is_some();
        let form = if both { state.chance.pick(Form::System, &[Form::Update]) } else { Form::System };
        let new = new_identity(state, &former, form == Form::Update);
        let at = seconds(state);
        change_identity(state, sender, &new);
        let version = state.people.senders[sender].version;
        let posts = change_posts(state, sender, Some(version), form, at, &former, &new);
        let back_at_once = at_once.then(|| {
            change_identity(state, sender, &former);
            change_posts(state, sender, Some(version + 1), form, at, &new, &former)
        });
        let linked = state.people.senders[sender].account.is_some();
        (posts, (version, new, form), former, back_at_once, back && linked)
    };
    meta::start(world, posts);
    let (version, new, form) = first;
    let applied = |state: &State| {
        let mut changes = state.people.changes.values();
        changes.any(|change| change.sender == sender && change.version == version && change.applied)
    };
    // Two changes in the wrong order do not form a chain.
    for _ in 0..if back { MAX_STEPS } else { 0 } {
        if applied(&world.lock()) {
            break;
        }
        sleep(Duration::from_secs(300)).await;
    }
    let posts = {
        let state = &mut *world.lock();
        match back_at_once {
            Some(posts) if !back || applied(state) => posts,
            Some(_) => {
                // The first is a dead letter: an operator must decide about the link.
                let person = &mut state.people.senders[sender];
                person.version += 1;
                person.unlinked = true;
                return mark_uncertain(state, sender, usize::MAX);
            }
            None if back && applied(state) => {
                change_identity(state, sender, &former);
                let at = seconds(state);
                change_posts(state, sender, Some(version + 1), form, at, &new, &former)
            }
            None => return,
        }
    };
    meta::start(world, posts);
}

/// A number is transferred without an event from Meta; an operator acts at once, or while the next owner is
/// writing.
async fn transfers_number(world: &Arc<World>, from: usize, to: usize) {
    let number = {
        let state = &mut *world.lock();
        let former = identity(state, from);
        let new = new_identity(state, &former, false);
        change_identity(state, from, &new);
        former.0
    };
    let wait = world.lock().chance.millis(3 * MINUTE, 8 * MINUTE);
    sleep(wait).await;
    let (at_once, wait) = {
        let state = &mut *world.lock();
        let id = new_identity(state, &(None, Some(String::new())), false).1;
        change_identity(state, to, &(number, id));
        // A user linked by number alone cannot be distinguished from the number's next owner.
        let account = state.people.senders[from].account;
        let known = account.is_none_or(|account| state.people.links.knows_user_id(account));
        (!known, state.chance.millis(0, 10 * MINUTE))
    };
    if !at_once {
        sleep(wait).await;
    }
    let state = &mut *world.lock();
    for sender in [from, to] {
        relink(state, sender);
    }
}

/// An operator links a user by the current identity: the number, unless the link was by user id.
fn relink(state: &mut State, sender: usize) {
    let (number, user_id) = identity(state, sender);
    let Some(account) = state.people.senders[sender].account else { return };
    let Some(link) = state.people.links.0.get(&account) else { return };
    let by_user_id =
        link.whatsapp_phone.is_none() || link.whatsapp_link_state.as_deref() == Some("added_number");
    let new = if by_user_id {
        (link.whatsapp_phone.clone(), user_id)
    } else {
        (number.as_deref().map(e164), link.whatsapp_user_id.clone())
    };
    write(state, sender, account, new);
}

pub(super) fn identity(state: &State, sender: usize) -> Identity {
    let person = &state.people.senders[sender];
    (person.number.clone(), person.user_id.clone())
}

/// A new number and user id, in place of existing ones; or only a new user id.
pub(super) fn new_identity(state: &mut State, former: &Identity, user_id_alone: bool) -> Identity {
    state.people.identities += 1;
    let n = state.people.identities;
    let number =
        if user_id_alone { former.0.clone() } else { former.0.as_ref().map(|_| format!("1650556{n:04}")) };
    (number, former.1.as_ref().map(|_| format!("US.2468013579111315{n:04}")))
}

pub(super) fn change_identity(state: &mut State, sender: usize, new: &Identity) {
    state.note("Meta", format_args!("user {sender} has another number or user id"));
    state.people.senders[sender].change_identity(new.0.clone(), new.1.clone());
}

fn seconds(state: &State) -> u64 {
    EPOCH_SECONDS + state.now / 1000
}

/// Meta's payload about a change: one event for each receiving business number.
fn change_posts(
    state: &mut State,
    sender: usize,
    version: Option<usize>,
    form: Form,
    at: u64,
    previous: &Identity,
    current: &Identity,
) -> Vec<Post> {
    let numbers: BTreeSet<String> =
        state.people.questions.values().map(|question| question.number.clone()).collect();
    let mut marks = Vec::new();
    for number in numbers {
        let mark = state.events.add_identity();
        let (previous, current) = (previous.clone(), current.clone());
        let version = version.unwrap_or(usize::MAX);
        let change = Change { sender, version, number, applied: false, previous, current, at, form };
        state.people.changes.insert(mark.clone(), change);
        marks.push(mark);
    }
    let again = again(&mut state.chance, &state.plan);
    vec![Post { after: 0, wamids: Vec::new(), events: marks, again, request: OnceLock::new() }]
}
