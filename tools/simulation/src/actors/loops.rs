//! Automatic correspondents, which respond to each answer at once and indefinitely.

use std::sync::{Arc, OnceLock};

use crate::actors::meta;
use crate::model::posts::Post;
use crate::model::questions::Question;
use crate::model::world::{Send, State, World};

/// Index of the automatic correspondent, in the runs with one.
pub const AUTOMATIC_SENDER: usize = 1;

/// Maximum number of turns, so that every run ends.
const MAX_TURNS: usize = 400;

/// Lets an automatic correspondent respond to a delivered message.
pub fn answer(world: &Arc<World>, state: &mut State, send: &Send) {
    let Some(question) = state.people.questions.get(&send.wamid) else { return };
    if !is_automatic(state, question) || state.people.turns >= MAX_TURNS {
        return;
    }
    let number = question.number.clone();
    state.inject("automatic answer");
    let wamid = state.people.write_back(AUTOMATIC_SENDER, number);
    let after = state.chance.between(200, 3_000);
    let post =
        Post { after, wamids: vec![wamid], events: Vec::new(), again: Vec::new(), request: OnceLock::new() };
    meta::post_later(world, state, post);
}

/// Whether an automatic correspondent sent the message.
#[must_use]
pub fn is_automatic(state: &State, question: &Question) -> bool {
    state.plan.automatic && question.sender == AUTOMATIC_SENDER
}
