//! What the functions log, line by line, and what it says of each message.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::live::{Changed, Model};
use crate::journal::Entry;

/// Fields that stand in places of their own.
const SHOWN_APART: [&str; 5] = ["timestamp", "level", "message", "target", "span"];

/// A line of a function's log.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Log {
    pub(super) id: u64,
    at: DateTime<Utc>,
    function: String,
    level: String,
    message: String,
    /// The person's message that it is about, also where the line names the answer.
    wamid: Option<String>,
    fields: Value,
}

impl Model {
    /// A function has logged something.
    pub(super) fn logged(&mut self, entry: &Entry) {
        // Metrics, which are for CloudWatch: what they count has lines of its own.
        if entry.fields.get("_aws").is_some() {
            return;
        }
        self.ledger.read(entry);
        let named = Some(entry.field("wamid")).filter(|wamid| !wamid.is_empty());
        if let Some(wamid) = named
            && &*entry.function == "reply"
        {
            self.reply_said(entry, wamid);
        }
        let wamid = named.map(|wamid| self.journeys.named(wamid).unwrap_or(wamid).to_owned());
        self.log(|id| Log::new(id, entry, wamid));
    }

    /// What `reply` says of a message or its answer.
    fn reply_said(&mut self, entry: &Entry, wamid: &str) {
        let Some(journey) = self.journeys.named(wamid).map(str::to_owned) else { return };
        let (outcome, error) = (entry.field("outcome"), failure(entry));
        let deferred = entry.field("counter") == "deferred_records";
        self.journeys.change(&journey, |journey| match entry.field("update") {
            _ if deferred => journey.deferred(),
            _ if outcome.is_empty() => {}
            "message" => journey.tried(outcome, error),
            "record" => journey.recorded_later(outcome, error),
            "status" => journey.status_handled(entry.field("name"), outcome),
            _ => {}
        });
        self.stale.insert(journey.clone());
        self.tell(Changed::Journey(journey));
    }
}

/// Why something came to nothing, with the class of it.
fn failure(entry: &Entry) -> Option<String> {
    let class = match entry.field("counter") {
        "graph_passing_errors" => "passing",
        "graph_account_errors" => "account",
        "graph_slow_down_errors" => "slow down",
        "unreadable_envelopes" => "unreadable",
        "panics" => "panic",
        "missing_answers" => "no answer",
        "unrecorded_messages" | "waiting_records" => "rows",
        _ if entry.field("outcome") == "undeliverable" => "final",
        _ => return None,
    };
    Some(format!("{class}: {}", entry.field("reason")))
}

impl Log {
    fn new(id: u64, entry: &Entry, wamid: Option<String>) -> Self {
        let at = entry.field("timestamp").parse().unwrap_or_else(|_| Utc::now());
        let is_json = entry.fields.is_object();
        let mut fields = entry.fields.as_object().cloned().unwrap_or_default();
        fields.retain(|name, _| !SHOWN_APART.contains(&name.as_str()));
        Self {
            id,
            at,
            function: entry.function.to_string(),
            // Such as a panic's message.
            level: if is_json { entry.field("level").to_owned() } else { "ERROR".to_owned() },
            message: if is_json { entry.field("message").to_owned() } else { entry.text.to_string() },
            wamid,
            fields: Value::Object(fields),
        }
    }
}
