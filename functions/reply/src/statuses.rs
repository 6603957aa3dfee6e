//! What became of sent messages: the table `message_statuses`.
//!
//! Statuses are only ever added. The database's triggers say what follows for the row of the message, in whatever order
//! statuses and rows arrive (`supabase/migrations`).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::counter::Counter;
use shared::logging::ShortWamid;
use shared::metrics;
use shared::supabase::{Caller, Query, Supabase};
use shared::wamid::Wamid;
use tracing::{info, warn};
use uuid::Uuid;

use crate::graph::{Class, Rejection};
use crate::history::RecordError;
use crate::incoming::{Category, Status};

/// How long an insert may take. Not long: what is not written now waits on the record queue, and no message may wait for
/// the batch that it is in.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What became of a status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Applied {
    /// It is among those of a row of the history.
    ToRow,
    /// It is kept: the row is not there yet, or never will be, as that of a text to an unlinked number.
    NoRow,
    /// It was there before.
    Before,
}

/// Counts what a status says that was not there before: an answer that failed after Meta had taken it, by its code; and a
/// message that is billed, by its category.
pub fn count(status: &Status) {
    let wamid = ShortWamid::field(status.wamid.as_str());
    if status.name == "failed" {
        // As at the send: the code decides. There is no HTTP status.
        let code = status.error_code.map(i64::from);
        let class = Rejection::of(0, code).class();
        warn!(
            counter = Counter::FailedAnswers.name(),
            wamid,
            code,
            ?class,
            "an answer failed after it was sent"
        );
        if matches!(class, Class::Account | Class::Number) {
            let reason = format!("an answer failed after it was sent, code {}", code.unwrap_or_default());
            // No error of this version, which a canary would be taken back for.
            warn!(
                counter = Counter::GraphAccountErrors.name(),
                wamid, code, reason, "answers fail after they are sent"
            );
        }
    }
    if let Some(category) = status.billed_as {
        let (category, metric) = match category {
            Category::Service => ("service", Counter::BilledServiceMessages),
            Category::Utility => ("utility", Counter::BilledUtilityMessages),
            Category::Marketing => ("marketing", Counter::BilledMarketingMessages),
            Category::Authentication => ("authentication", Counter::BilledAuthenticationMessages),
            Category::Other => ("other", Counter::BilledOtherMessages),
        };
        info!(counter = Counter::BilledMessages.name(), wamid, category, "Meta bills a message");
        metrics::count(metric);
    }
}

#[derive(Serialize)]
struct StatusRow<'a> {
    id: Uuid,
    wamid: &'a Wamid,
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
    let row = StatusRow {
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
