//! Events other than messages and statuses.

use std::collections::BTreeMap;

use reply::incoming::Event;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::model::faults::Chance;

/// Prefix of every event's mark.
const MARK: &str = "event.";

/// Events of a run.
#[derive(Debug, Default)]
pub struct Events {
    /// Every event, by mark.
    pub sent: BTreeMap<String, MetaEvent>,
    /// Marks of the rows of the table `account_events`.
    pub rows: BTreeMap<Uuid, String>,
}

/// An event sent by Meta.
#[derive(Clone, Copy, Debug)]
pub struct MetaEvent {
    pub(crate) kind: EventKind,
    /// Whether Meta got a 200 for it.
    pub ok: bool,
}

/// Position of an event in a payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum EventKind {
    /// A separate field, in an entry with a time.
    Account,
    /// An unknown field.
    Unknown,
    /// `value.errors`, next to messages.
    Errors,
    /// A message of type `system`: a user has another number.
    System,
    /// A message of type `request_welcome`.
    Welcome,
    /// A change of number or user id: see [`crate::actors::identities`].
    Identity,
}

impl Events {
    /// Draws an event, and returns its mark.
    pub fn draw(&mut self, chance: &mut Chance) -> String {
        let mark = format!("{MARK}{:03}", self.sent.len());
        let others = [EventKind::Unknown, EventKind::Errors, EventKind::System, EventKind::Welcome];
        self.sent
            .insert(mark.clone(), MetaEvent { kind: chance.pick(EventKind::Account, &others), ok: false });
        mark
    }

    /// Adds an identity change, and returns its mark.
    pub fn add_identity(&mut self) -> String {
        let mark = format!("{MARK}{:03}", self.sent.len());
        self.sent.insert(mark.clone(), MetaEvent { kind: EventKind::Identity, ok: false });
        mark
    }

    /// The entry of the payload, at this many seconds since 1970.
    #[must_use]
    pub fn entry(&self, mark: &str, metadata: &Value, seconds: u64) -> Value {
        let kind = self.sent.get(mark).map_or(EventKind::Account, |event| event.kind);
        let with = |field: &str, value: Value| json!([{"field": field, "value": value}]);
        let message = |mut message: Value| {
            message["id"] = json!(mark);
            message["timestamp"] = json!(seconds.to_string());
            message["from"] = json!("16505550000");
            with("messages", json!({"metadata": metadata, "messages": [message]}))
        };
        let changes = match kind {
            EventKind::Account | EventKind::Identity => {
                with("account_update", json!({"event": "VERIFIED_ACCOUNT", "id": mark}))
            }
            EventKind::Unknown => with("holograms", json!({"new_in": 2027, "id": mark})),
            EventKind::Errors => {
                with("messages", json!({"metadata": metadata, "errors": [{"code": 131_000, "title": mark}]}))
            }
            EventKind::System => message(json!({"type": "system",
                "system": {"type": "user_changed_number", "wa_id": "16505550001"}})),
            EventKind::Welcome => message(json!({"type": "request_welcome"})),
        };
        let mut entry = json!({"id": "419561257915477", "changes": changes});
        if kind.has_time() {
            entry["time"] = json!(seconds);
        }
        entry
    }

    /// Records that Meta got a 200 for these events.
    pub fn accept(&mut self, marks: &[String]) {
        for mark in marks {
            if let Some(event) = self.sent.get_mut(mark) {
                event.ok = true;
            }
        }
    }
}

impl EventKind {
    /// Whether redeliveries have the same id, derived from a time or a wamid. Others may be stored once per
    /// delivery.
    pub(crate) fn has_time(self) -> bool {
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
