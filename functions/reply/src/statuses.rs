//! What became of sent messages: the table `message_statuses`.
//!
//! Statuses are only ever added. The database's triggers say what follows for the row of the message, in whatever order
//! statuses and rows arrive (`supabase/migrations`).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::supabase::{Caller, Query, Supabase};
use uuid::Uuid;

use crate::history::RecordError;
use crate::incoming::Status;

/// How long an insert may take. Not long: what is not written now waits on the record queue, and no message may wait for
/// the batch that it is in.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What became of a status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Applied {
    /// It is among those of a row of the history.
    ToRow,
    /// It is kept: the row is not there yet, or never will be, as that of a text to nobody's number.
    NoRow,
    /// It was there before.
    Before,
}

#[derive(Serialize)]
struct Row<'a> {
    id: Uuid,
    wamid: &'a str,
    status: &'a str,
    at: chrono::DateTime<chrono::Utc>,
    error_code: Option<i32>,
    error_text: Option<&'a str>,
    phone_number_id: Option<&'a str>,
    payload: Option<Box<RawValue>>,
}

/// Adds a status.
///
/// # Errors
/// See [`RecordError`].
pub async fn record(supabase: &Supabase, status: &Status) -> Result<Applied, RecordError> {
    #[derive(Deserialize)]
    struct Added {
        message_id: Option<Uuid>,
    }
    let row = Row {
        id: status.id,
        wamid: &status.wamid,
        status: &status.name,
        at: status.at,
        error_code: status.error_code,
        error_text: status.error_text.as_deref(),
        phone_number_id: status.phone_number_id.as_deref(),
        payload: RawValue::from_string(status.payload.clone()).ok(),
    };
    let request = supabase.from("message_statuses").insert(serde_json::to_string(&[row])?);
    let request = request.on_conflict("id").select("message_id");
    let prefer = Some("resolution=ignore-duplicates,return=representation");
    let query = Query { request, caller: Caller::Key, prefer, timeout: TIMEOUT };
    let body = supabase.run(query).await?;
    // It is written, whatever the answer says.
    let added: Vec<Added> = serde_json::from_slice(&body).unwrap_or_default();
    Ok(match added.first() {
        Some(Added { message_id: Some(_) }) => Applied::ToRow,
        Some(Added { message_id: None }) => Applied::NoRow,
        None => Applied::Before,
    })
}
