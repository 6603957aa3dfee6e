//! The tables, and the effects of new rows.

use reply::history::echo_row;
use reply::incoming::{Event, Incoming, Status};
use reply::statuses::Applied;
use shared::meta::wamid::Wamid;
use shared::supabase::rows::{MessageCreate, Role};
use uuid::Uuid;

use crate::Defect;
use crate::model::events;
use crate::model::statuses::{self, combined_status};
use crate::model::world::{Row, State};

/// Adds the rows of a turn, which ends with the message of this wamid; existing rows are unchanged. The stored answers to
/// new messages are deleted.
pub fn add_rows(state: &mut State, rows: Vec<MessageCreate>, turn: &str) {
    let random_ids = state.has_defect(Defect::RandomRowIds);
    let is_answered = rows.iter().any(|row| row.role == Role::Assistant);
    for row in rows {
        let random = (u128::from(state.chance.between(0, u64::MAX)) << 64) | 1;
        let id = if random_ids { Uuid::from_u128(random) } else { row.id };
        let is_answer = row.role == Role::Assistant;
        let own = row.wamids.iter().flatten().next().filter(|_| !is_answer).map(Wamid::as_str);
        let wamid = own.unwrap_or(turn).to_owned();
        state.note("database", format_args!("{} of {wamid}", row.role.as_str()));
        if is_answered && !is_answer {
            state.turns.recorded.entry(wamid.clone()).or_default().insert(turn.to_owned());
        }
        if state.rows.contains_key(&id) {
            continue;
        }
        if !is_answer && !state.has_defect(Defect::KeepStoredAnswers) {
            state.turns.stored.remove(&id);
        }
        state.rows.insert(id, Row { row, wamid, turn: turn.to_owned(), status: None });
        if is_answer {
            apply_earlier(state, id);
        }
    }
}

/// Adds the row of a message that the business sent itself; an existing row is unchanged.
pub fn add_echo(state: &mut State, user_id: Uuid, echo: &Incoming) {
    let row = echo_row(user_id, echo);
    let id = row.id;
    state.note("database", format_args!("assistant of {}", echo.key.as_str()));
    if state.rows.contains_key(&id) {
        return;
    }
    let wamid = echo.key.as_str().to_owned();
    state.rows.insert(id, Row { row, wamid: wamid.clone(), turn: wamid, status: None });
    apply_earlier(state, id);
}

/// Adds a status to the table, like the database: idempotently, with its effect on the answer's row.
pub fn add_status(state: &mut State, status: &Status) -> Applied {
    let random = (u128::from(state.chance.between(0, u64::MAX)) << 64) | 2;
    let id = if state.has_defect(Defect::RandomRowIds) { Uuid::from_u128(random) } else { status.id };
    if state.statuses.rows.contains_key(&id) {
        return Applied::Before;
    }
    let answers = state.rows.iter().filter(|(_, row)| row.row.role == Role::Assistant);
    let mut of_status = answers.filter(|(_, row)| row.wamids().contains(&status.wamid));
    let message_id = of_status.next().map(|(id, _)| *id);
    let Status { wamid, name, at, callback, .. } = status.clone();
    state.note("database", format_args!("{} is {name}", wamid.as_str()));
    let stored_at = state.now;
    let row = statuses::StatusRow { wamid, name: name.clone(), at, message_id, callback, stored_at };
    state.statuses.rows.insert(id, row);
    match message_id {
        Some(message_id) => {
            apply(state, message_id, &name);
            Applied::ToRow
        }
        None => Applied::NoRow,
    }
}

/// Applies the earlier statuses of an answer to its new row.
pub fn apply_earlier(state: &mut State, message_id: Uuid) {
    let Some(answer) = state.rows.get(&message_id) else { return };
    let mut latest = None;
    for status in state.statuses.rows.values_mut().filter(|status| answer.wamids().contains(&status.wamid)) {
        status.message_id = Some(message_id);
        latest = Some(status.name.clone());
    }
    if let Some(latest) = latest {
        apply(state, message_id, &latest);
    }
}

/// Updates the status in an answer's row.
fn apply(state: &mut State, message_id: Uuid, latest: &str) {
    let backwards = state.has_defect(Defect::LastStatusWins).then(|| latest.to_owned());
    let known: Vec<_> =
        state.statuses.rows.values().map(|row| (row.wamid.as_str(), row.name.as_str())).collect();
    let Some(answer) = state.rows.get_mut(&message_id) else { return };
    answer.status = backwards.or_else(|| combined_status(answer.wamids(), &known).map(str::to_owned));
}

/// Adds an event to the table; returns whether it is new. An existing row is unchanged.
pub fn store_event(state: &mut State, event: &Event) -> bool {
    let mark = events::mark(event);
    state.note("database", format_args!("{mark} is stored"));
    let is_new = !state.events.rows.contains_key(&event.id);
    state.events.rows.entry(event.id).or_insert(mark);
    is_new
}
