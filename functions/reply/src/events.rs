//! What is kept for a person to look at: the table `account_events`.

use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use shared::supabase::{Caller, Query, Supabase};
use uuid::Uuid;

use crate::history::RecordError;
use crate::incoming::Event;

/// How long an insert may take, for the reason given with statuses.
const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Row<'a> {
    id: Uuid,
    received_at: chrono::DateTime<chrono::Utc>,
    waba_id: Option<&'a str>,
    phone_number_id: Option<&'a str>,
    field: &'a str,
    payload: Option<Box<RawValue>>,
}

/// Keeps an event; one that is there already stays as it is.
///
/// # Errors
/// See [`RecordError`].
pub async fn keep(supabase: &Supabase, event: &Event) -> Result<(), RecordError> {
    let row = Row {
        id: event.id,
        received_at: event.received_at,
        waba_id: event.waba_id.as_deref(),
        phone_number_id: event.phone_number_id.as_deref(),
        field: &event.name,
        payload: RawValue::from_string(event.payload.clone()).ok(),
    };
    let request = supabase.from("account_events").insert(serde_json::to_string(&[row])?).on_conflict("id");
    let prefer = Some("resolution=ignore-duplicates,return=minimal");
    let query = Query { request, caller: Caller::Key, prefer, timeout: TIMEOUT };
    supabase.run(query).await?;
    Ok(())
}
