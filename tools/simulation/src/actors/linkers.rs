//! People who link their numbers and user ids: with an app, whose session creates a code, and with a phone, from which they
//! send it and answer the question. Some guess, are late, change their minds, or send what others made them send.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::sleep;

use crate::Defect;
use crate::actors::database::Project;
use crate::actors::follow::mark_uncertain;
use crate::actors::{identities, linking, meta};
use crate::model::codes::{NoCode, masked};
use crate::model::linkers::{Button, Linker, Sending, Tapping};
use crate::model::posts::{Post, again};
use crate::model::questions::Kind;
use crate::model::world::{Send, State, World};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// Timeout of an app's calls.
const APP_TIMEOUT: Duration = Duration::from_secs(8);

/// Maximum number of times an app tries.
const TRIES: u32 = 60;

/// Starts everyone who links.
pub fn start(world: &Arc<World>) {
    let linkers = world.lock().people.linking.linkers.clone();
    for linker in linkers {
        later(world, &mut world.lock(), Duration::from_millis(linker.at), |world| async move {
            link(&world, &linker).await;
        });
    }
}

/// Does something after a wait.
fn later<F: Future<Output = ()> + std::marker::Send + 'static>(
    world: &Arc<World>,
    state: &mut State,
    wait: Duration,
    what: impl FnOnce(Arc<World>) -> F + std::marker::Send + 'static,
) {
    state.busy += 1;
    let world = world.clone();
    tokio::spawn(async move {
        sleep(wait).await;
        what(world.clone()).await;
        world.done();
    });
}

/// Creates a code and sends it.
async fn link(world: &Arc<World>, linker: &Linker) {
    let Linker { person, guesses, sending, .. } = *linker;
    if let Some(from) = linker.takes_from {
        take_number(world, from, person).await;
    } else {
        say(world, linker, person, Kind::Text, "may I link?");
        pause(world, SECOND, 2 * MINUTE).await;
    }
    for guess in 0..guesses {
        world.lock().inject("code guessed");
        say(world, linker, person, Kind::Guess, &format!("QX{}QX-QX{}QX", 2 + guess, 2 + person % 8));
        pause(world, SECOND, 20 * SECOND).await;
    }
    let Some(mut code) = create(world, linker).await else { return };
    if let Some(fault) = sending.fault() {
        world.lock().inject(fault);
    }
    if sending == Sending::Superseded
        && let Some(second) = create(world, linker).await
    {
        let both = [code, second];
        code = if world.lock().chance.in_1000(700) { both[0].clone() } else { both[1].clone() };
    }
    let (least, most) =
        if sending == Sending::Late { (11 * MINUTE, 40 * MINUTE) } else { (2 * SECOND, 3 * MINUTE) };
    pause(world, least, most).await;
    if let Sending::Victim(victim) | Sending::Both(victim) = sending {
        send_code(world, linker, victim, &code);
        pause(world, 0, 2 * MINUTE).await;
    }
    if !matches!(sending, Sending::Victim(_)) {
        send_code(world, linker, person, &code);
    }
    if sending == Sending::Again {
        pause(world, SECOND, 30 * MINUTE).await;
        send_code(world, linker, person, &code);
    }
}

async fn pause(world: &World, least: u64, most: u64) {
    let wait = world.lock().chance.millis(least, most);
    sleep(wait).await;
}

/// A person gets the number of another one, without an event from Meta.
async fn take_number(world: &World, from: usize, person: usize) {
    let number = {
        let state = &mut *world.lock();
        let former = identities::identity(state, from);
        let new = identities::new_identity(state, &former, false);
        identities::change_identity(state, from, &new);
        state.inject("number taken by another person");
        state.people.senders[from].unlinked = true;
        mark_uncertain(state, from, usize::MAX);
        former.0
    };
    pause(world, 3 * MINUTE, 8 * MINUTE).await;
    let state = &mut *world.lock();
    let user_id = identities::identity(state, person).1;
    identities::change_identity(state, person, &(number, user_id));
}

/// The app creates a code: when the database is there and, if it knows no business number yet, after a message to it.
async fn create(world: &Arc<World>, linker: &Linker) -> Option<String> {
    let Linker { person, account, takes_from, .. } = *linker;
    for _ in 0..TRIES {
        let effect = move |state: &mut State| linking::create(state, person, account);
        match app(world).request(APP_TIMEOUT, true, effect).await {
            Ok(Ok(new)) => return Some(new.code),
            Ok(Err(NoCode::TooMany)) => return None,
            Ok(Err(NoCode::NoNumber)) if takes_from.is_none() => {
                say(world, linker, person, Kind::Text, "may I link now?");
            }
            Ok(Err(NoCode::NoNumber)) | Err(_) => {}
        }
        pause(world, MINUTE, 20 * MINUTE).await;
    }
    None
}

/// The app's client of the database.
fn app(world: &Arc<World>) -> Project {
    Project { world: world.clone(), invocation: 0 }
}

fn say(world: &Arc<World>, linker: &Linker, sender: usize, kind: Kind, text: &str) -> String {
    let (wamid, post) = {
        let state = &mut *world.lock();
        let wamid = state.people.say(sender, linker.number.clone(), kind, text);
        let again = again(&mut state.chance, &state.plan);
        let post = Post {
            after: 0,
            wamids: vec![wamid.clone()],
            events: Vec::new(),
            again,
            request: OnceLock::new(),
        };
        (wamid, post)
    };
    meta::start(world, vec![post]);
    wamid
}

fn send_code(world: &Arc<World>, linker: &Linker, sender: usize, code: &str) {
    let text = {
        let state = &mut *world.lock();
        let written = match state.chance.between(0, 3) {
            0 => code.to_lowercase().replace('-', " "),
            1 => format!("{code} please"),
            _ => format!("Link my account: {code}"),
        };
        // A zero is not in the alphabet.
        if state.has_defect(Defect::HideCodes) { written.to_lowercase().replace("ab", "0b") } else { written }
    };
    let wamid = say(world, linker, sender, Kind::Code, &text);
    world.lock().people.linking.sent.insert(wamid, code.to_owned());
}

/// Lets a person react to a delivered message: by answering the question, and by writing once they are linked.
pub fn receive(world: &Arc<World>, state: &mut State, send: &Send) {
    let Some(question) = state.people.questions.get(&send.wamid) else { return };
    let person = question.sender;
    if let Some(button) = send.buttons.first().and_then(|id| Button::parse(id)) {
        if state.people.linking.asked.insert((person, button.link_id)) {
            answer(world, state, send, person);
        }
    } else if let Some(Button { link_id, accept: true }) = state.people.linking.taps.get(&send.wamid)
        && let Some((_, session)) = state.people.linking.code(*link_id)
        && session.person == person
        && state.people.links.is_linked(session.account)
    {
        let linkers = &state.people.linking.linkers;
        let Some(linker) = linkers.iter().find(|linker| linker.person == person).cloned() else { return };
        let (count, wait) = (state.chance.between(0, 3), state.chance.millis(SECOND, 2 * MINUTE));
        later(world, state, wait, move |world| async move { write(&world, &linker, count).await });
    }
}

/// Taps, as planned; on a question about another account, *Not me* at most.
fn answer(world: &Arc<World>, state: &mut State, send: &Send, person: usize) {
    let sessions = &state.people.senders[person].sessions;
    let is_own = sessions.iter().any(|account| send.body.contains(&masked(*account)));
    let linker = state.people.linking.linkers.iter().find(|linker| linker.person == person && is_own);
    let tapping = match linker {
        Some(linker) => linker.tapping,
        None => state.chance.pick(Tapping::Declined, &[Tapping::Never]),
    };
    if let Some(fault) = tapping.fault() {
        state.inject(fault);
    }
    let soon = state.chance.between(SECOND, MINUTE);
    let second = soon + state.chance.between(SECOND, MINUTE);
    let taps: &[(u64, usize, bool)] = match tapping {
        Tapping::Once => &[(soon, person, true)],
        Tapping::Twice => &[(soon, person, true), (second, person, true)],
        Tapping::Late => &[(soon + 15 * MINUTE, person, true)],
        Tapping::Declined => &[(soon, person, false)],
        Tapping::Never => &[],
        Tapping::Both(accept) => &[(soon, person, accept), (second, person, !accept)],
        Tapping::Forged(other) => &[(soon, other, true), (second, person, true)],
    };
    let ids: Vec<_> = send.buttons.iter().filter_map(|id| Some((Button::parse(id)?, id.clone()))).collect();
    for (wait, tapper, accept) in taps.iter().copied() {
        let Some((button, id)) = ids.iter().find(|(button, _)| button.accept == accept).cloned() else {
            continue;
        };
        let number = send.from.clone();
        later(world, state, Duration::from_millis(wait), move |world| async move {
            let post = {
                let state = &mut *world.lock();
                let wamid = state.people.say(tapper, number, Kind::Tap, &id);
                state.people.linking.taps.insert(wamid.clone(), button);
                let again = again(&mut state.chance, &state.plan);
                Post { after: 0, wamids: vec![wamid], events: Vec::new(), again, request: OnceLock::new() }
            };
            meta::start(&world, vec![post]);
        });
    }
}

/// Some messages of a linked person; then, perhaps, the app removes the link.
async fn write(world: &Arc<World>, linker: &Linker, count: u64) {
    for _ in 0..count {
        // Removed meanwhile, or still another person's.
        if world.lock().people.senders[linker.person].unlinked {
            return;
        }
        say(world, linker, linker.person, Kind::Text, "I am linked:");
        pause(world, SECOND, 5 * MINUTE).await;
    }
    let account = linker.account;
    if linker.unlinks {
        world.lock().inject("link removed");
    }
    for _ in 0..if linker.unlinks { TRIES } else { 0 } {
        let remove = move |state: &mut State| linking::remove(state, account);
        if app(world).request(APP_TIMEOUT, true, remove).await.is_ok() {
            return;
        }
        pause(world, MINUTE, 20 * MINUTE).await;
    }
}
