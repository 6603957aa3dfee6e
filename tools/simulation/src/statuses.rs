//! Statuses of answers, in any order, delayed and repeated; and the table of statuses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reply::incoming::Status;
use reply::statuses::Applied;
use shared::message::Role;
use tokio::time::sleep;
use uuid::Uuid;

use super::Defect;
use super::attempts::Attempt;
use super::meta;
use super::report::Findings;
use super::world::{EPOCH_SECONDS, REGISTRATION_TEXT, Send, State, World};

const MINUTE: u64 = 60_000;

/// Statuses in rank order.
const RANKS: [&str; 4] = ["sent", "delivered", "read", "played"];

/// A status sent by Meta.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct StatusUpdate {
    /// Wamid of the message.
    pub wamid: String,
    /// Name of the status.
    pub name: &'static str,
    /// Time of the status, in seconds since 1970.
    pub at: u64,
    /// The sending business number.
    pub number: String,
    /// The recipient.
    pub recipient: String,
}

/// Statuses of a run.
#[derive(Debug, Default)]
pub struct Statuses {
    /// Every status, and whether Meta got a 200 for it.
    pub updates: BTreeMap<StatusUpdate, bool>,
    /// Pending statuses, for the next payload.
    pub waiting: Vec<StatusUpdate>,
    /// The table `message_statuses`.
    pub rows: BTreeMap<Uuid, Row>,
}

/// A row of the table `message_statuses`.
#[derive(Debug)]
pub struct Row {
    wamid: String,
    name: String,
    at: DateTime<Utc>,
    /// The history row of the answer.
    message_id: Option<Uuid>,
}

/// Draws the statuses of a delivered message, and their times.
pub fn schedule(world: &Arc<World>, state: &mut State, send: &Send) {
    if !state.plan.sends_statuses {
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
        let update = StatusUpdate {
            wamid: send.id.clone(),
            name,
            at: EPOCH_SECONDS + happened / 1000,
            number: send.from.clone(),
            recipient: send.to.clone(),
        };
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

/// Adds a status to the table, like the database: idempotently, with its effect on the answer's row.
pub fn add(state: &mut State, status: &Status) -> Applied {
    let random = (u128::from(state.chance.between(0, u64::MAX)) << 64) | 2;
    let id = if state.has_defect(Defect::RandomRowIds) { Uuid::from_u128(random) } else { status.id };
    if state.statuses.rows.contains_key(&id) {
        return Applied::Before;
    }
    let answers = state.rows.iter().filter(|(_, row)| row.row.role == Role::Assistant);
    let mut of_status = answers.filter(|(_, row)| row.wamids().contains(&status.wamid));
    let message_id = of_status.next().map(|(id, _)| *id);
    let Status { wamid, name, at, .. } = status.clone();
    state.note("database", format_args!("{wamid} is {name}"));
    state.statuses.rows.insert(id, Row { wamid, name: name.clone(), at, message_id });
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

/// Status of an answer: the lowest of its parts, or failed if a part failed.
fn combined_status<'a>(parts: &[String], known: &[(&str, &'a str)]) -> Option<&'a str> {
    let of_part = |part: &String| {
        let of_part = known.iter().filter(move |(wamid, _)| wamid == part).map(|(_, name)| *name);
        of_part.max_by_key(|name| RANKS.iter().position(|rank| rank == name).unwrap_or(RANKS.len()))
    };
    let parts: Vec<Option<&str>> = parts.iter().map(of_part).collect();
    if parts.contains(&Some("failed")) {
        return Some("failed");
    }
    let parts: Option<Vec<&str>> = parts.into_iter().collect();
    parts?.into_iter().min_by_key(|name| RANKS.iter().position(|rank| rank == name))
}

/// Guarantee 6: no status is lost or duplicated, and each has its effect on the answer's row.
pub fn check(state: &State, findings: &mut Findings) {
    let statuses = &state.statuses;
    for (update, ok) in &statuses.updates {
        let at = i64::try_from(update.at).unwrap_or_default();
        let same =
            |row: &&Row| row.wamid == update.wamid && row.name == update.name && row.at.timestamp() == at;
        let stored = statuses.rows.values().filter(same).count();
        let StatusUpdate { wamid, name, .. } = update;
        if stored == 0 && *ok {
            findings.lost_statuses += 1;
            findings.violations.push(format!("{wamid} ({name}): the status is missing"));
        }
        if stored > 1 {
            findings.duplicate_statuses += 1;
            findings.violations.push(format!("{wamid} ({name}): the status is stored {stored} times"));
        }
    }
    let known: Vec<_> = statuses.rows.values().map(|row| (row.wamid.as_str(), row.name.as_str())).collect();
    for (id, row) in state.rows.iter().filter(|(_, row)| row.row.role == Role::Assistant) {
        let shown = row.status.as_deref();
        let expected = combined_status(row.wamids(), &known);
        let mut of_row = statuses.rows.values().filter(|status| row.wamids().contains(&status.wamid));
        if shown != expected || of_row.any(|status| status.message_id != Some(*id)) {
            findings.wrong_statuses += 1;
            let wamid = &row.wamid;
            findings.violations.push(format!("{wamid}: its answer is {shown:?} and should be {expected:?}"));
        }
        // Messages of the business itself were not sent by the functions.
        if row.row.payload.is_none() {
            check_wamids(state, &row.wamid, row.wamids(), findings);
        }
    }
}

/// Checks the wamids in a row, if each message was sent once: without them no status finds the row.
fn check_wamids(state: &State, wamid: &str, wamids: &[String], findings: &mut Findings) {
    // A late duplicate may get the registration text if the sender is unlinked by then.
    let is_of_row = |send: &&Send| send.wamid == wamid && send.body != REGISTRATION_TEXT;
    let sends: Vec<&Send> = state.sends.iter().filter(is_of_row).collect();
    let mut bodies: Vec<&str> = sends.iter().map(|send| send.body.as_str()).collect();
    bodies.sort_unstable();
    let doubtful =
        |attempt: &Attempt| attempt.wamid == wamid && (attempt.lost || attempt.rejected_permanently);
    let once = bodies.windows(2).all(|pair| pair[0] != pair[1]) && !state.attempts.all.iter().any(doubtful);
    let known = sends.iter().filter(|send| wamids.contains(&send.id)).count();
    // It may have been answered as an unlinked sender's before.
    let uncertain = state.people.questions.get(wamid).is_some_and(|question| question.uncertain);
    if (once && known < sends.len() && !uncertain) || known < wamids.len() {
        findings.wrong_statuses += 1;
        findings.violations.push(format!("{wamid}: its row has {known} of its {} wamids", sends.len()));
    }
}
