//! Statuses of answers, and their table.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use reply::graph::Callback;
use shared::meta::wamid::Wamid;
use uuid::Uuid;

/// Statuses in rank order.
pub const RANKS: [&str; 4] = ["sent", "delivered", "read", "played"];

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
    /// The callback data of the message.
    pub callback: String,
}

/// Statuses of a run.
#[derive(Debug, Default)]
pub struct Statuses {
    /// Every status, and whether Meta got a 200 for it.
    pub updates: BTreeMap<StatusUpdate, bool>,
    /// Pending statuses, for the next payload.
    pub waiting: Vec<StatusUpdate>,
    /// The table `message_statuses`.
    pub rows: BTreeMap<Uuid, StatusRow>,
}

/// A row of the table `message_statuses`.
#[derive(Debug)]
pub struct StatusRow {
    pub(crate) wamid: Wamid,
    pub(crate) name: String,
    pub(crate) at: DateTime<Utc>,
    /// The history row of the answer.
    pub(crate) message_id: Option<Uuid>,
    /// The callback data of the message.
    pub(crate) callback: Option<Callback>,
    /// Time of the insert.
    pub(crate) stored_at: u64,
}

/// Status of an answer: the lowest of its parts, or failed if a part failed.
#[must_use]
pub fn combined_status<'a>(parts: &[Wamid], known: &[(&str, &'a str)]) -> Option<&'a str> {
    let of_part = |part: &Wamid| {
        let of_part = known.iter().filter(move |(wamid, _)| *wamid == part.as_str()).map(|(_, name)| *name);
        of_part.max_by_key(|name| RANKS.iter().position(|rank| rank == name).unwrap_or(RANKS.len()))
    };
    let parts: Vec<Option<&str>> = parts.iter().map(of_part).collect();
    if parts.contains(&Some("failed")) {
        return Some("failed");
    }
    let parts: Option<Vec<&str>> = parts.into_iter().collect();
    parts?.into_iter().min_by_key(|name| RANKS.iter().position(|rank| rank == name))
}
