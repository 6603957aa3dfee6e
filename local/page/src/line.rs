//! A line of a function's log, for display.

use chrono::{DateTime, Utc};
use local_stack::logs::Entry;
use serde::Serialize;
use serde_json::Value;

/// Fields outside `fields`.
const SHOWN_APART: [&str; 5] = ["timestamp", "level", "message", "target", "span"];

/// A log line.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) id: u64,
    at: DateTime<Utc>,
    function: String,
    level: String,
    message: String,
    /// The wamid of the user's message, also for a line that names the reply.
    wamid: Option<String>,
    fields: Value,
}

impl Line {
    pub(crate) fn new(id: u64, entry: &Entry, wamid: Option<String>) -> Self {
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
