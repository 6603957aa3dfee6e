//! Between the functions and somebody else's project: passes every request on, and notes which rows it makes, so that
//! these can be removed, and no others.

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

/// The tables that `reply` adds rows to, by id. Those that refer to others first.
pub(super) const TABLES: [&str; 3] = ["message_statuses", "account_events", "messages"];

/// Longer than any function waits: who asks ends it.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long the requests under way may take once no others are passed on.
const GRACE: Duration = Duration::from_secs(2);
/// What a request's body is shorter than: a batch of rows of 1 MiB each.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Rows by table.
pub(super) type Rows = BTreeMap<&'static str, BTreeSet<Uuid>>;

/// Passes requests on until it is closed.
pub(super) struct Writes {
    project: String,
    http: reqwest::Client,
    pool: PgPool,
    made: Mutex<Made>,
    /// Read by every request under way.
    under_way: RwLock<()>,
}

#[derive(Default)]
struct Made {
    /// Those that were not there before.
    rows: Rows,
    is_closed: bool,
}

impl Writes {
    pub(super) fn new(project: &str, http: reqwest::Client, pool: PgPool) -> Arc<Self> {
        let (made, under_way) = (Mutex::default(), RwLock::default());
        Arc::new(Self { project: project.to_owned(), http, pool, made, under_way })
    }

    pub(super) fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(pass_on).with_state(Arc::clone(self))
    }

    /// Passes nothing on any more, and says which rows were made.
    pub(super) async fn close(&self) -> Rows {
        self.made().is_closed = true;
        // After that time they are not waited for.
        let _ = tokio::time::timeout(GRACE, self.under_way.write()).await;
        self.made().rows.clone()
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes those of the rows that are not there yet.
    async fn note(&self, table: &'static str, ids: Vec<Uuid>) -> anyhow::Result<()> {
        let known = format!("select id from public.{table} where id = any($1)");
        let known: Vec<Uuid> =
            sqlx::query_scalar(AssertSqlSafe(known)).bind(&ids).fetch_all(&self.pool).await?;
        let new = ids.into_iter().filter(|id| !known.contains(id));
        self.made().rows.entry(table).or_default().extend(new);
        Ok(())
    }

    async fn pass_on(&self, request: Request) -> anyhow::Result<Response> {
        let _under_way = self.under_way.read().await;
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, MAX_BODY).await?;
        if parts.method == Method::POST
            && let Some((table, ids)) = rows(parts.uri.path(), &body)
        {
            // What cannot be noted is not written.
            self.note(table, ids).await?;
        }
        ensure!(!self.made().is_closed, "local is stopping");
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = self.http.request(parts.method, format!("{}{path}", self.project));
        let request = request.headers(end_to_end(parts.headers)).body(body).timeout(TIMEOUT);
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        let (status, headers) = (response.status(), end_to_end(response.headers().clone()));
        Ok((status, headers, Body::from(response.bytes().await?)).into_response())
    }
}

async fn pass_on(State(writes): State<Arc<Writes>>, request: Request) -> Response {
    writes.pass_on(request).await.unwrap_or_else(|error| {
        tracing::debug!("not passed on to the project of --supabase: {error:#}");
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    })
}

/// The rows that a POST to `path` makes.
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

/// Without what is about one connection: each of the two has its own.
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
    fn rows_are_found_in_what_reply_sends_and_in_nothing_else() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let found = |path: &str, body: String| rows(path, &Bytes::from(body));
        let both = format!(r#"[{{"id":"{one}"}},{{"id":"{two}","content":"x"}}]"#);
        assert_eq!(found("/rest/v1/messages", both.clone()), Some(("messages", vec![one, two])));
        let single = format!(r#"{{"id":"{one}"}}"#);
        assert_eq!(found("/rest/v1/message_statuses", single), Some(("message_statuses", vec![one])));
        let event = format!(r#"{{"event":{{"id":"{two}"}},"changes":[]}}"#);
        let kept = found("/rest/v1/rpc/keep_identity_event", event);
        assert_eq!(kept, Some(("account_events", vec![two])));
        for path in ["/rest/v1/user_preferences", "/rest/v1/rpc/other", "/auth/v1/messages", "/messages"] {
            assert_eq!(found(path, both.clone()), None, "{path}");
        }
        assert_eq!(found("/rest/v1/messages", "not JSON".to_owned()), None);
    }
}
