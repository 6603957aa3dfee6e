//! A proxy between the functions and an external project: it forwards every request and records the ids of new rows, so
//! that exactly these can be removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::RwLock;
use uuid::Uuid;

/// The tables to which `reply` adds rows with an id; tables with foreign keys to others first.
pub(super) const TABLES: [&str; 3] = ["message_statuses", "account_events", "messages"];

/// Longer than the functions' own timeouts, so that the caller ends a request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long the requests in flight may take after forwarding has stopped.
const GRACE: Duration = Duration::from_secs(2);
/// The limit of a request's body: a batch of rows of 1 MiB each.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Rows by table.
pub(super) type Rows = BTreeMap<&'static str, BTreeSet<Uuid>>;

/// Forwards requests until it is closed.
pub(super) struct Writes {
    project: String,
    http: reqwest::Client,
    pool: PgPool,
    created: Mutex<Created>,
    /// Read-locked by every request in flight.
    in_flight: RwLock<()>,
}

#[derive(Default)]
struct Created {
    /// The rows that did not exist before.
    rows: Rows,
    is_closed: bool,
}

impl Writes {
    pub(super) fn new(project: &str, http: reqwest::Client, pool: PgPool) -> Arc<Self> {
        let (created, in_flight) = (Mutex::default(), RwLock::default());
        Arc::new(Self { project: project.to_owned(), http, pool, created, in_flight })
    }

    pub(super) fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(forward).with_state(Arc::clone(self))
    }

    /// Stops forwarding, and returns the created rows.
    pub(super) async fn close(&self) -> Rows {
        self.created().is_closed = true;
        // Requests that take longer are ignored.
        let _ = tokio::time::timeout(GRACE, self.in_flight.write()).await;
        self.created().rows.clone()
    }

    fn created(&self) -> MutexGuard<'_, Created> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the ids of the rows that do not exist yet.
    async fn record(&self, table: &'static str, ids: Vec<Uuid>) -> anyhow::Result<()> {
        let known = format!("select id from public.{table} where id = any($1)");
        let known: Vec<Uuid> =
            sqlx::query_scalar(AssertSqlSafe(known)).bind(&ids).fetch_all(&self.pool).await?;
        let new = ids.into_iter().filter(|id| !known.contains(id));
        self.created().rows.entry(table).or_default().extend(new);
        Ok(())
    }

    async fn forward(&self, request: Request) -> anyhow::Result<Response> {
        let _in_flight = self.in_flight.read().await;
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_BODY).await?;
        if parts.method == Method::POST
            && let Some((table, ids)) = rows(parts.uri.path(), &body)
        {
            // A row whose id cannot be recorded is not written.
            self.record(table, ids).await?;
        }
        ensure!(!self.created().is_closed, "local is stopping");
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = self.http.request(parts.method, format!("{}{path}", self.project));
        let request = request.headers(end_to_end(parts.headers)).body(body).timeout(TIMEOUT);
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        let (status, headers) = (response.status(), end_to_end(response.headers().clone()));
        Ok((status, headers, Body::from(response.bytes().await?)).into_response())
    }
}

async fn forward(State(writes): State<Arc<Writes>>, request: Request) -> Response {
    writes.forward(request).await.unwrap_or_else(|error| {
        tracing::debug!("not forwarded to the project of --supabase: {error:#}");
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    })
}

/// Returns the table and the ids of the rows that a POST to `path` creates.
fn rows(path: &str, body: &Bytes) -> Option<(&'static str, Vec<Uuid>)> {
    let path = path.strip_prefix("/rest/v1/")?;
    let body: Value = serde_json::from_slice(body).ok()?;
    let id = |row: &Value| row.get("id")?.as_str()?.parse().ok();
    if path == "rpc/keep_identity_event" {
        return Some(("account_events", id(body.get("event")?).into_iter().collect()));
    }
    let table = TABLES.into_iter().find(|table| *table == path)?;
    let rows = body.as_array().map_or(std::slice::from_ref(&body), Vec::as_slice);
    Some((table, rows.iter().filter_map(id).collect()))
}

/// Removes the headers that concern one connection.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_ids_are_found_only_in_requests_that_create_rows() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let found = |path: &str, body: String| rows(path, &Bytes::from(body));
        let both = format!(r#"[{{"id":"{one}"}},{{"id":"{two}","content":"x"}}]"#);
        assert_eq!(found("/rest/v1/messages", both.clone()), Some(("messages", vec![one, two])));
        let single = format!(r#"{{"id":"{one}"}}"#);
        assert_eq!(found("/rest/v1/message_statuses", single), Some(("message_statuses", vec![one])));
        let event = format!(r#"{{"event":{{"id":"{two}"}},"changes":[]}}"#);
        let stored = found("/rest/v1/rpc/keep_identity_event", event);
        assert_eq!(stored, Some(("account_events", vec![two])));
        for path in ["/rest/v1/user_preferences", "/rest/v1/rpc/other", "/auth/v1/messages", "/messages"] {
            assert_eq!(found(path, both.clone()), None, "{path}");
        }
        assert_eq!(found("/rest/v1/messages", "not JSON".to_owned()), None);
    }
}
