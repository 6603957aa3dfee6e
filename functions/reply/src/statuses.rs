//! Statuses of sent messages: the table `message_statuses`.
//!
//! Statuses are only inserted. The database's triggers apply them to the row of their message, in whatever order statuses
//! and rows arrive (`supabase/migrations`).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics;
use shared::meta::wamid::Wamid;
use shared::supabase::{Caller, Query, Supabase};
use tracing::{info, warn};
use uuid::Uuid;

use crate::graph::{Class, Rejection};
use crate::history::RecordError;
use crate::incoming::{Category, Status};
use crate::users::{self, LookupError};

/// The timeout of an insert. It is short, because a status can wait on the record queue, and must not delay the messages
/// in its batch.
const TIMEOUT: Duration = Duration::from_secs(2);

/// A part of a reply that was sent, according to a status.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
pub struct SentPart {
    /// The id of the reply's row.
    pub answer_id: Uuid,
    /// The number of the part, from 1.
    #[serde(rename = "answer_part")]
    pub part: u32,
    /// Its wamid.
    pub wamid: Wamid,
}

/// The outcome of storing a status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Applied {
    /// It is stored and applied to its message's row in the history.
    ToRow,
    /// It is stored. Its message has no row yet, or never will, such as a text to an unlinked sender.
    NoRow,
    /// It was stored before.
    Before,
}

/// Counts the information in a status that is stored for the first time: its delay, a reply that failed after Meta had accepted
/// it, by its code, and a billed message, by its category.
pub fn count(status: &Status) {
    let wamid = ShortWamid::field(status.wamid.as_str());
    if let (Some(callback), "sent") = (status.callback, status.name.as_str()) {
        let delay = (status.received_at - callback.sent_at).to_std().unwrap_or_default();
        metrics::record("send_to_status_ms", delay);
    }
    if status.name == "failed" {
        // Classified by its code, like an error of a send. There is no HTTP status.
        let code = status.error_code.map(i64::from);
        let class = Rejection::of(0, code).class();
        warn!(
            counter = Counter::FailedAnswers.name(),
            wamid,
            code,
            ?class,
            "a reply failed after Meta had accepted it"
        );
        if matches!(class, Class::Account | Class::Number) {
            let reason =
                format!("a reply failed after Meta had accepted it, code {}", code.unwrap_or_default());
            // Logged as a warning: an error would roll back a canary deployment, although this version is not the cause.
            warn!(
                counter = Counter::GraphAccountErrors.name(),
                wamid,
                code,
                reason,
                "a reply failed because of the access token, the account or the business number"
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
        info!(counter = Counter::BilledMessages.name(), wamid, category, "message billed by Meta");
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
    answer_id: Option<Uuid>,
    answer_part: Option<u32>,
    payload: Option<Box<RawValue>>,
}

/// Returns the parts of these replies that have a status.
///
/// # Errors
/// See [`LookupError`].
pub async fn sent_parts(supabase: &Supabase, answer_ids: &[Uuid]) -> Result<Vec<SentPart>, LookupError> {
    let request = supabase.from("message_statuses").select("answer_id,answer_part,wamid");
    let request = users::among(request, "answer_id", answer_ids);
    let query = Query { request, caller: Caller::Key, prefer: None, timeout: users::TIMEOUT };
    serde_json::from_slice(&supabase.run(query).await?).map_err(|_| LookupError::Unreadable)
}

/// Stores a status, unless it was stored before.
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
        answer_id: status.callback.map(|callback| callback.answer_id),
        answer_part: status.callback.map(|callback| callback.part),
        payload: RawValue::from_string(status.payload.clone()).ok(),
    };
    let request = supabase.from("message_statuses").insert(serde_json::to_string(&[row])?);
    let request = request.on_conflict("id").select("message_id");
    let prefer = Some("resolution=ignore-duplicates,return=representation");
    let query = Query { request, caller: Caller::Key, prefer, timeout: TIMEOUT };
    let body = supabase.run(query).await?;
    // The status is stored even if the response is unreadable.
    let added: Vec<Added> = serde_json::from_slice(&body).unwrap_or_default();
    Ok(match added.first() {
        Some(Added { message_id: Some(_) }) => Applied::ToRow,
        Some(Added { message_id: None }) => Applied::NoRow,
        None => Applied::Before,
    })
}
