//! Statuses of answers, in any order, delayed and repeated.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::Defect;
use crate::actors::meta;
use crate::model::clock::EPOCH_SECONDS;
use crate::model::statuses::{RANKS, StatusUpdate};
use crate::model::world::{Send, State, World};

const MINUTE: u64 = 60_000;

/// Messages without any status, per mille.
const NEVER: u64 = 50;

/// Draws the statuses of a delivered message, and their times.
pub fn schedule(world: &Arc<World>, state: &mut State, send: &Send) {
    if state.turns.chance.in_1000(NEVER) {
        return;
    }
    if !state.plan.sends_statuses {
        if state.plan.answering.reports_sends && !state.plan.automatic {
            report_sent(world, state, send);
        }
        return;
    }
    let names: &[&str] = match state.chance.between(0, 19) {
        0 => &["failed"],
        1 => &["sent", "failed"],
        2 => &["sent"],
        3..=5 => &["sent", "delivered"],
        6 => &RANKS,
        _ => &RANKS[..3],
    };
    let mut happened = state.now;
    for name in names {
        let update = update(state, send, name, happened);
        let (soon, later) = (state.chance.between(50, 5_000), state.chance.between(MINUTE, 30 * MINUTE));
        let lag = state.chance.pick(0, &[soon, soon, later]);
        let wait = Duration::from_millis(happened - state.now + lag);
        let (seconds, minutes) = (state.chance.between(0, 3_000), state.chance.between(0, 10 * MINUTE));
        happened += state.chance.pick(seconds, &[seconds, minutes]);
        state.statuses.updates.insert(update.clone(), false);
        post_later(world, state, wait, update.clone());
        if state.chance.in_1000(state.plan.rates.duplicate / 3) {
            let days = state.chance.millis(MINUTE, 48 * 60 * MINUTE);
            state.inject("repeated status");
            post_later(world, state, wait + days, update);
        }
    }
}

/// Only the first status, usually within seconds.
fn report_sent(world: &Arc<World>, state: &mut State, send: &Send) {
    let chance = &mut state.turns.chance;
    let lag = match chance.between(0, 19) {
        0..=16 => chance.millis(50, 4_000),
        17 | 18 => chance.millis(4_000, MINUTE),
        _ => chance.millis(MINUTE, 30 * MINUTE),
    };
    let update = update(state, send, RANKS[0], state.now);
    state.statuses.updates.insert(update.clone(), false);
    post_later(world, state, lag, update);
}

fn update(state: &State, send: &Send, name: &'static str, happened: u64) -> StatusUpdate {
    let is_dropped = state.has_defect(Defect::DropCallbackData);
    StatusUpdate {
        wamid: send.id.clone(),
        name,
        at: EPOCH_SECONDS + happened / 1000,
        number: send.from.clone(),
        recipient: send.to.clone(),
        callback: if is_dropped { String::new() } else { send.callback.to_string() },
    }
}

fn post_later(world: &Arc<World>, state: &mut State, wait: Duration, update: StatusUpdate) {
    state.busy += 1;
    let world = world.clone();
    tokio::spawn(async move {
        sleep(wait).await;
        post(&world, update).await;
        world.done();
    });
}

/// Posts a status with the next payload, or in a separate one if there is none soon.
async fn post(world: &Arc<World>, update: StatusUpdate) {
    let wait = {
        let state = &mut *world.lock();
        state.statuses.waiting.push(update.clone());
        state.chance.millis(0, 3_000)
    };
    sleep(wait).await;
    if world.lock().statuses.waiting.contains(&update) {
        meta::post_statuses(world);
    }
}
