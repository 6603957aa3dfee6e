//! What is neither a message to be answered nor a status, and the table that keeps it.

use std::collections::BTreeMap;

use reply::incoming::Event;
use serde_json::{Value, json};
use uuid::Uuid;

use super::faults::Chance;
use super::report::Findings;
use super::world::State;

/// What every event here is named with.
const MARK: &str = "event.";

/// What Meta has told.
#[derive(Debug, Default)]
pub struct Events {
    /// Every event, by its mark.
    pub told: BTreeMap<String, Told>,
    /// The marks of the rows of the table `account_events`.
    pub rows: BTreeMap<Uuid, String>,
}

/// An event that Meta has to tell.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    kind: Kind,
    /// Whether Meta got 200 for it.
    pub ok: bool,
}

/// Where an event stands in a payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// A field of its own, in an entry with a time.
    Account,
    /// A field that nobody knows.
    Unknown,
    /// `value.errors`, beside messages.
    Errors,
    /// A message of type `system`: somebody has another number.
    System,
    /// A message of type `request_welcome`.
    Welcome,
    /// Somebody has another number or user id: see [`super::identities`].
    Identity,
}

impl Events {
    /// Draws an event, and returns its mark.
    pub fn draw(&mut self, chance: &mut Chance) -> String {
        let mark = format!("{MARK}{:03}", self.told.len());
        let others = [Kind::Unknown, Kind::Errors, Kind::System, Kind::Welcome];
        self.told.insert(mark.clone(), Told { kind: chance.pick(Kind::Account, &others), ok: false });
        mark
    }

    /// Adds a change of somebody's number or user id, and returns its mark.
    pub fn add_identity(&mut self) -> String {
        let mark = format!("{MARK}{:03}", self.told.len());
        self.told.insert(mark.clone(), Told { kind: Kind::Identity, ok: false });
        mark
    }

    /// Its entry of the payload, at this many seconds since 1970.
    pub fn entry(&self, mark: &str, metadata: &Value, seconds: u64) -> Value {
        let kind = self.told.get(mark).map_or(Kind::Account, |told| told.kind);
        let with = |field: &str, value: Value| json!([{"field": field, "value": value}]);
        let message = |mut message: Value| {
            message["id"] = json!(mark);
            message["timestamp"] = json!(seconds.to_string());
            message["from"] = json!("16505550000");
            with("messages", json!({"metadata": metadata, "messages": [message]}))
        };
        let changes = match kind {
            Kind::Account | Kind::Identity => {
                with("account_update", json!({"event": "VERIFIED_ACCOUNT", "id": mark}))
            }
            Kind::Unknown => with("holograms", json!({"new_in": 2027, "id": mark})),
            Kind::Errors => {
                with("messages", json!({"metadata": metadata, "errors": [{"code": 131_000, "title": mark}]}))
            }
            Kind::System => message(json!({"type": "system",
                "system": {"type": "user_changed_number", "wa_id": "16505550001"}})),
            Kind::Welcome => message(json!({"type": "request_welcome"})),
        };
        let mut entry = json!({"id": "419561257915477", "changes": changes});
        if kind.has_time() {
            entry["time"] = json!(seconds);
        }
        entry
    }

    /// Meta got 200 for them.
    pub fn accept(&mut self, marks: &[String]) {
        for mark in marks {
            if let Some(told) = self.told.get_mut(mark) {
                told.ok = true;
            }
        }
    }
}

impl Kind {
    /// Whether it is the same event however often it comes, by its time or its wamid. Others may be kept once for each
    /// time.
    fn has_time(self) -> bool {
        self != Self::Errors
    }
}

/// The mark of an event.
#[must_use]
pub fn mark(event: &Event) -> String {
    let rest = event.payload.split_once(&format!("\"{MARK}")).map(|(_, rest)| rest);
    let number = rest.and_then(|rest| rest.split_once('"')).map_or(event.name.as_str(), |(number, _)| number);
    format!("{MARK}{number}")
}

/// Adds an event to the table, and whether it was not there: one that is stays as it is.
pub fn keep(state: &mut State, event: &Event) -> bool {
    let mark = mark(event);
    state.note("database", format_args!("{mark} is kept"));
    let is_new = !state.events.rows.contains_key(&event.id);
    state.events.rows.entry(event.id).or_insert(mark);
    is_new
}

/// Promise 6: none is lost, and one that says when it was is kept once.
pub fn check(state: &State, findings: &mut Findings) {
    for (mark, told) in &state.events.told {
        let kept = state.events.rows.values().filter(|kept| *kept == mark).count();
        if (kept == 0 && told.ok) || (kept > 1 && told.kind.has_time()) {
            findings.lost_events += 1;
            findings.violations.push(format!("{mark} ({:?}) is kept {kept} times", told.kind));
        }
    }
}
