//! Events, stored for an operator in the table `account_events`, and their identity changes.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::lambda::counter::Counter;
use shared::meta::sender::{Sender, UserId};
use shared::supabase::{Caller, Query, Supabase};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::history::RecordError;
use crate::incoming::{Change, Event};
use crate::users::spellings;

/// The timeout of an insert, short for the same reason as that of statuses.
const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct EventRow<'a> {
    id: Uuid,
    received_at: chrono::DateTime<chrono::Utc>,
    waba_id: Option<&'a str>,
    phone_number_id: Option<&'a str>,
    field: &'a str,
    payload: Option<Box<RawValue>>,
}

/// The outcome of an identity change, and its user.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub struct ChangeResult {
    /// The outcome.
    pub outcome: ChangeOutcome,
    /// The user that it concerns, if there is one.
    #[serde(default)]
    pub user_id: Option<Uuid>,
}

/// The outcome of an identity change: the results of the database's function `keep_identity_event`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum ChangeOutcome {
    /// The user has the new number or user id.
    Applied,
    /// The event was stored before, and its changes were applied then.
    AppliedBefore,
    /// The link is more recent than the change.
    Stale,
    /// Another user has the new number or user id.
    Clash,
    /// No user is linked with the previous number or user id.
    Unlinked,
    /// Several users are linked with them.
    Ambiguous,
}

impl ChangeResult {
    /// Logs the outcome and returns it in words.
    pub(crate) fn log(&self) -> &'static str {
        let user_id = self.user_id.map(tracing::field::display);
        match self.outcome {
            ChangeOutcome::Applied => {
                info!(
                    counter = Counter::AppliedIdentities.name(),
                    user_id, "identity change applied: a user's number or user id has changed"
                );
                "the user's number or user id has changed"
            }
            ChangeOutcome::AppliedBefore => "change not applied again: the event was stored before",
            ChangeOutcome::Stale => {
                warn!(
                    counter = Counter::StaleIdentities.name(),
                    user_id, "identity change not applied: the link is more recent"
                );
                "change not applied: the link is more recent"
            }
            ChangeOutcome::Clash => {
                error!(
                    counter = Counter::ClashingIdentities.name(),
                    user_id, "identity change not applied: another user has the new number or user id"
                );
                "change not applied: another user has the new number or user id"
            }
            ChangeOutcome::Ambiguous => {
                warn!(
                    counter = Counter::AmbiguousNumbers.name(),
                    "identity change not applied: several users are linked with the previous number or user id"
                );
                "change not applied: several users are linked with the previous number or user id"
            }
            ChangeOutcome::Unlinked => {
                "change not applied: no user is linked with the previous number or user id"
            }
        }
    }
}

/// Arguments of the database's function `keep_identity_event`.
#[derive(Serialize)]
struct Arguments<'a> {
    event: EventRow<'a>,
    changes: Vec<ChangeArgument<'a>>,
}

#[derive(Serialize)]
struct ChangeArgument<'a> {
    previous_numbers: Vec<String>,
    previous_user_id: Option<&'a str>,
    /// All spellings. The first is the one that is stored.
    numbers: Vec<String>,
    user_id: Option<&'a str>,
    at: chrono::DateTime<chrono::Utc>,
}

impl<'a> From<&'a Change> for ChangeArgument<'a> {
    fn from(change: &'a Change) -> Self {
        let numbers = |sender: &Sender| sender.number().map(spellings).unwrap_or_default();
        Self {
            previous_numbers: numbers(&change.previous),
            previous_user_id: change.previous.user_id().map(UserId::as_str),
            numbers: numbers(&change.current),
            user_id: change.current.user_id().map(UserId::as_str),
            at: change.at,
        }
    }
}

/// Stores an event, unless it was stored before, and applies its identity changes. Returns the outcome of each change.
///
/// # Errors
/// See [`RecordError`].
pub async fn store(supabase: &Supabase, event: &Event) -> Result<Vec<ChangeResult>, RecordError> {
    let row = EventRow {
        id: event.id,
        received_at: event.received_at,
        waba_id: event.waba_id.as_deref(),
        phone_number_id: event.phone_number_id.as_deref(),
        field: &event.name,
        payload: RawValue::from_string(event.payload.clone()).ok(),
    };
    if !event.changes.is_empty() {
        let changes = event.changes.iter().map(ChangeArgument::from).collect();
        let arguments = serde_json::to_string(&Arguments { event: row, changes })?;
        let request = supabase.from("rpc/keep_identity_event").rpc(arguments);
        let query = Query { request, caller: Caller::Key, prefer: None, timeout: TIMEOUT };
        return Ok(serde_json::from_slice(&supabase.run(query).await?)?);
    }
    let request = supabase.from("account_events").insert(serde_json::to_string(&[row])?).on_conflict("id");
    let prefer = Some("resolution=ignore-duplicates,return=minimal");
    let query = Query { request, caller: Caller::Key, prefer, timeout: TIMEOUT };
    supabase.run(query).await?;
    Ok(Vec::new())
}
