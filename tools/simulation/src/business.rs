//! Messages that the business sends itself, in its app: Meta sends them to the webhook, and they belong in
//! the user's history.

use reply::history::echo_row;
use reply::incoming::Incoming;
use serde_json::{Value, json};
use shared::message::Role;
use uuid::Uuid;

use super::people::Person;
use super::report::Findings;
use super::statuses;
use super::world::{Row, State};

/// A message sent by the business itself.
#[derive(Debug)]
pub struct Written {
    /// Index of the recipient.
    pub to: usize,
    /// The sending business number.
    pub number: String,
    /// Whether Meta got a 200 for it.
    pub ok: bool,
}

/// The entry of `message_echoes`, at this many seconds since 1970.
#[must_use]
pub fn entry(wamid: &str, person: &Person, seconds: u64) -> Value {
    let mut entry = json!({"id": wamid, "from": "15550783881", "timestamp": seconds.to_string(),
        "type": "text", "text": {"body": format!("from the shop: {wamid}")}});
    for (key, id) in [("to", &person.number), ("to_user_id", &person.user_id)] {
        if let Some(id) = id {
            entry[key] = json!(id);
        }
    }
    entry
}

/// Adds the row to the table; an existing row is unchanged.
pub fn record(state: &mut State, user_id: Uuid, echo: &Incoming) {
    let row = echo_row(user_id, echo);
    let id = row.id;
    state.note("database", format_args!("assistant of {}", echo.key));
    if state.rows.contains_key(&id) {
        return;
    }
    state.rows.insert(id, Row { row, wamid: echo.key.clone(), status: None });
    statuses::apply_earlier(state, id);
}

/// Checks that each is in its user's history once, in no other history, and without an answer.
pub fn check(state: &State, findings: &mut Findings) {
    for (wamid, written) in &state.people.written {
        let rows: Vec<_> = state.rows.values().filter(|row| row.wamid == *wamid).collect();
        let owner = state.people.senders[written.to].account;
        let is_right = |row: &&&Row| {
            let payload = row.row.payload.as_ref().map(|payload| payload.get()).unwrap_or_default();
            row.row.role == Role::Assistant
                && Some(row.row.user_id) == owner
                && payload.contains(r#""field":"smb_message_echoes""#)
        };
        let right = rows.iter().filter(is_right).count();
        // A user may be unlinked when the message is handled, after a change of identity or link.
        if right < usize::from(written.ok && owner.is_some() && !state.plan.identities) {
            findings.lost += 1;
            findings.violations.push(format!("{wamid}: the business's message is in no history"));
        }
        if rows.len() > 1 || right < rows.len() {
            findings.duplicate_rows += 1;
            findings.violations.push(format!("{wamid}: {} rows, {right} of them correct", rows.len()));
        }
        if state.sends.iter().any(|send| send.wamid == *wamid) {
            findings.wrong_texts += 1;
            findings.violations.push(format!("{wamid}: the business's message was answered"));
        }
    }
}
