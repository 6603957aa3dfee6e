//! What is kept for a person to look at: the table `account_events`; and what of it changes a link.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::counter::Counter;
use shared::sender::{Sender, UserId};
use shared::supabase::{Caller, Query, Supabase};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::history::RecordError;
use crate::incoming::{Change, Event};
use crate::users::spellings;

/// How long an insert may take, for the reason given with statuses.
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

/// What became of a change of somebody's number or user id, and whose it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub struct ChangeResult {
    /// What became of it.
    pub outcome: ChangeOutcome,
    /// The user that it is about, where there is one.
    #[serde(default)]
    pub user_id: Option<Uuid>,
}

/// What became of a change: the answers of the database's function `keep_identity_event`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum ChangeOutcome {
    /// The user has the new number or user id.
    Applied,
    /// The event was kept before, and its changes were applied then.
    AppliedBefore,
    /// The link is more recent than the change.
    Stale,
    /// Somebody else has the new number or user id.
    Clash,
    /// No user is linked by what it names as previous.
    Nobody,
    /// Several users are.
    Ambiguous,
}

impl ChangeResult {
    /// Logs it; the reason in words.
    pub(crate) fn log(&self) -> &'static str {
        let user_id = self.user_id.map(tracing::field::display);
        match self.outcome {
            ChangeOutcome::Applied => {
                info!(
                    counter = Counter::FollowedIdentities.name(),
                    user_id, "a user's number or user id has changed"
                );
                "the user's number or user id has changed"
            }
            ChangeOutcome::AppliedBefore => "the event was kept before, its change is not applied again",
            ChangeOutcome::Stale => {
                warn!(
                    counter = Counter::StaleIdentities.name(),
                    user_id, "change not applied: the link is more recent"
                );
                "change not applied: the link is more recent"
            }
            ChangeOutcome::Clash => {
                error!(
                    counter = Counter::ClashingIdentities.name(),
                    user_id, "change not applied: somebody else has the new number or id"
                );
                "change not applied: somebody else has the new number or id"
            }
            ChangeOutcome::Ambiguous => {
                warn!(
                    counter = Counter::AmbiguousNumbers.name(),
                    "change not applied: number and user id name several users"
                );
                "change not applied: number and user id name several users"
            }
            ChangeOutcome::Nobody => "change not applied: no user is linked by what it names",
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
    /// The spelling that is stored is the first.
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

/// Keeps an event, once; and, when it was not there before, does what it says about links. What became of each change.
///
/// # Errors
/// See [`RecordError`].
pub async fn keep(supabase: &Supabase, event: &Event) -> Result<Vec<ChangeResult>, RecordError> {
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
