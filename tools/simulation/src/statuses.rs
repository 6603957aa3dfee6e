//! What Meta says became of answers: statuses in any order, late and repeated; and the table that keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reply::incoming::Status;
use reply::statuses::Applied;
use shared::message::Role;
use tokio::time::sleep;
use uuid::Uuid;

use super::Break;
use super::attempts::Attempt;
use super::meta;
use super::report::Findings;
use super::world::{EPOCH_SECONDS, REGISTRATION_TEXT, Send, State, World};

const MINUTE: u64 = 60_000;

/// How far a message has come, from nothing to the end.
const RANKS: [&str; 4] = ["sent", "delivered", "read", "played"];

/// A status that Meta has to tell.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Told {
    /// Of which text.
    pub wamid: String,
    /// Which it is.
    pub name: &'static str,
    /// When it became so, in seconds since 1970.
    pub at: u64,
    /// The business number that sent the text.
    pub number: String,
    /// Who got it.
    pub recipient: String,
}

/// What Meta has told, and has still to tell.
#[derive(Debug, Default)]
pub struct Statuses {
    /// Every status, and whether Meta got 200 for it.
    pub told: BTreeMap<Told, bool>,
    /// What the next payload takes along.
    pub waiting: Vec<Told>,
    /// The table `message_statuses`.
    pub rows: BTreeMap<Uuid, Row>,
}

/// A row of the table `message_statuses`.
#[derive(Debug)]
pub struct Row {
    wamid: String,
    name: String,
    at: DateTime<Utc>,
    /// The row of the history that it belongs to.
    message_id: Option<Uuid>,
}

/// A phone has got a text: draws what Meta will say about that, and when.
pub fn follow(world: &Arc<World>, state: &mut State, send: &Send) {
    if !state.plan.tells_statuses {
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
        let told = Told {
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
        state.statuses.told.insert(told.clone(), false);
        later_told(world, state, wait, told.clone());
        if state.chance.in_1000(state.plan.rates.duplicate / 3) {
            let days = state.chance.millis(MINUTE, 48 * 60 * MINUTE);
            state.inject("repeated status");
            later_told(world, state, wait + days, told);
        }
    }
}

fn later_told(world: &Arc<World>, state: &mut State, wait: Duration, told: Told) {
    state.busy += 1;
    let world = world.clone();
    tokio::spawn(async move {
        sleep(wait).await;
        tell(&world, told).await;
        world.done();
    });
}

/// Tells a status with the next payload; if there is none soon, in one of its own.
async fn tell(world: &Arc<World>, told: Told) {
    let patience = {
        let state = &mut *world.lock();
        state.statuses.waiting.push(told.clone());
        state.chance.millis(0, 3_000)
    };
    sleep(patience).await;
    if world.lock().statuses.waiting.contains(&told) {
        meta::post_statuses(world);
    }
}

/// Adds a status to the table, as the database does: once, and with what follows for the answer's row.
pub fn add(state: &mut State, status: &Status) -> Applied {
    let random = (u128::from(state.chance.between(0, u64::MAX)) << 64) | 2;
    let id = if state.breaks(Break::RandomRowIds) { Uuid::from_u128(random) } else { status.id };
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

/// An answer's row is there: what was known of it before it was applies to it.
pub fn take_up(state: &mut State, message_id: Uuid) {
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

/// Says in an answer's row how far it has come.
fn apply(state: &mut State, message_id: Uuid, latest: &str) {
    let backwards = state.breaks(Break::LastStatusWins).then(|| latest.to_owned());
    let known: Vec<_> =
        state.statuses.rows.values().map(|row| (row.wamid.as_str(), row.name.as_str())).collect();
    let Some(answer) = state.rows.get_mut(&message_id) else { return };
    answer.status = backwards.or_else(|| how_far(answer.wamids(), &known).map(str::to_owned));
}

/// How far an answer has come: as far as its last part, and not at all when one failed.
fn how_far<'a>(parts: &[String], known: &[(&str, &'a str)]) -> Option<&'a str> {
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

/// Promise 6: none is lost, none is there twice, and each says what it has to in the row of its answer.
pub fn check(state: &State, findings: &mut Findings) {
    let statuses = &state.statuses;
    for (told, ok) in &statuses.told {
        let at = i64::try_from(told.at).unwrap_or_default();
        let same = |row: &&Row| row.wamid == told.wamid && row.name == told.name && row.at.timestamp() == at;
        let kept = statuses.rows.values().filter(same).count();
        let Told { wamid, name, .. } = told;
        if kept == 0 && *ok {
            findings.lost_statuses += 1;
            findings.violations.push(format!("{wamid} ({name}): the status is lost"));
        }
        if kept > 1 {
            findings.duplicate_statuses += 1;
            findings.violations.push(format!("{wamid} ({name}): the status is there {kept} times"));
        }
    }
    let known: Vec<_> = statuses.rows.values().map(|row| (row.wamid.as_str(), row.name.as_str())).collect();
    for (id, row) in state.rows.iter().filter(|(_, row)| row.row.role == Role::Assistant) {
        let shown = row.status.as_deref();
        let expected = how_far(row.wamids(), &known);
        let mut of_row = statuses.rows.values().filter(|status| row.wamids().contains(&status.wamid));
        if shown != expected || of_row.any(|status| status.message_id != Some(*id)) {
            findings.wrong_statuses += 1;
            let wamid = &row.wamid;
            findings.violations.push(format!("{wamid}: its answer is {shown:?} and should be {expected:?}"));
        }
        // What the business wrote itself was sent by nothing here.
        if row.row.payload.is_none() {
            named(state, &row.wamid, row.wamids(), findings);
        }
    }
}

/// A row knows the ids of the texts that it holds, if each was sent once: without them no status finds it.
fn named(state: &State, wamid: &str, wamids: &[String], findings: &mut Findings) {
    // A late duplicate of somebody who is unlinked by then may get the registration text.
    let is_of_row = |send: &&Send| send.wamid == wamid && send.body != REGISTRATION_TEXT;
    let sends: Vec<&Send> = state.sends.iter().filter(is_of_row).collect();
    let mut bodies: Vec<&str> = sends.iter().map(|send| send.body.as_str()).collect();
    bodies.sort_unstable();
    let doubtful = |attempt: &Attempt| attempt.wamid == wamid && (attempt.lost || attempt.refused_for_good);
    let once = bodies.windows(2).all(|pair| pair[0] != pair[1]) && !state.attempts.all.iter().any(doubtful);
    let known = sends.iter().filter(|send| wamids.contains(&send.id)).count();
    // It may have been answered as nobody's before.
    let uncertain = state.people.questions.get(wamid).is_some_and(|question| question.uncertain);
    if (once && known < sends.len() && !uncertain) || known < wamids.len() {
        findings.wrong_statuses += 1;
        findings.violations.push(format!("{wamid}: its row names {known} of its {} texts", sends.len()));
    }
}
