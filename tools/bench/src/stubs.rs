//! Minimal stubs of SQS, Supabase and the Graph API: each call is counted, takes the configured time, and succeeds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use md5::{Digest, Md5};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::supabase::rows::MessageResponse;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::usage;

/// The user of all rows.
const USER: &str = "11111111-1111-4111-8111-111111111111";

/// The durations of calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delays {
    /// SQS.
    pub queue: Duration,
    /// Supabase.
    pub database: Duration,
    /// The Graph API.
    pub graph: Duration,
}

/// One kind of call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `SendMessageBatch` of SQS.
    Queue,
    /// A read of Supabase.
    Read,
    /// A write to Supabase.
    Write,
    /// The Graph API.
    Send,
}

/// The recorded calls.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// The calls in the order of their start.
    pub begun: Vec<Kind>,
    /// The maximum number of concurrent calls.
    pub at_once: usize,
    under_way: usize,
}

impl Calls {
    /// Returns the number of calls of this kind.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.begun.iter().filter(|begun| **begun == kind).count()
    }
}

/// The three services at one address, over plain HTTP.
pub struct Stubs {
    url: String,
    shared: Arc<StubState>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct StubState {
    delays: Mutex<Delays>,
    calls: Mutex<Calls>,
    /// Rows of the history, ready to be sent, by their number.
    pages: Mutex<Vec<(usize, Bytes)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stubs {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When no port is available.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::<StubState>::default();
        let router =
            Router::new().fallback(call).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(&shared));
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream: &mut tokio::net::TcpStream| {
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, shared, server })
    }

    /// Returns the URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sets the durations of later calls.
    pub fn delay(&self, delays: Delays) {
        *lock(&self.shared.delays) = delays;
    }

    /// Returns the calls since the last call of this method.
    #[must_use]
    pub fn take_calls(&self) -> Calls {
        std::mem::take(&mut *lock(&self.shared.calls))
    }
}

impl Drop for Stubs {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn call(
    State(shared): State<Arc<StubState>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    let delays = *lock(&shared.delays);
    let (kind, delay) = match (&method, path) {
        (&Method::POST, "/") if headers.contains_key("x-amz-target") => (Kind::Queue, delays.queue),
        (&Method::GET, _) if path.starts_with("/rest/v1/") => (Kind::Read, delays.database),
        (_, _) if path.starts_with("/rest/v1/") => (Kind::Write, delays.database),
        (&Method::POST, _) if path.ends_with("/messages") => (Kind::Send, delays.graph),
        // A request that only opens a connection in advance.
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    {
        let mut calls = lock(&shared.calls);
        calls.begun.push(kind);
        calls.under_way += 1;
        calls.at_once = calls.at_once.max(calls.under_way);
    }
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let answer = match kind {
        Kind::Queue => accepted(&body),
        Kind::Read => read(&shared, path, query, &headers),
        Kind::Write => StatusCode::CREATED.into_response(),
        Kind::Send => sent(),
    };
    lock(&shared.calls).under_way -= 1;
    answer
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessageBatch<'a> {
    #[serde(borrow)]
    entries: Vec<QueueEntry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueEntry<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    message_body: std::borrow::Cow<'a, str>,
}

/// Returns the response of SQS. Source: `SendMessageBatch` in the Amazon SQS API reference.
fn accepted(body: &[u8]) -> Response {
    let Ok(SendMessageBatch { entries }) = serde_json::from_slice(body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let successful: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let md5: String =
                Md5::digest(entry.message_body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"Id": entry.id, "MessageId": "57996cd8-3671-5eaa-8840-3f86a1d746b6", "MD5OfMessageBody": md5,
                "SequenceNumber": "18892134611256700004"})
        })
        .collect();
    let answer = json!({ "Successful": successful, "Failed": [] }).to_string();
    ([(header::CONTENT_TYPE, "application/x-amz-json-1.0")], answer).into_response()
}

/// Returns the response of PostgREST: the user of a number, no existing rows, or a page.
fn read(shared: &StubState, path: &str, query: &str, headers: &HeaderMap) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    if path.ends_with("/user_preferences") {
        // The first requested number, at any position.
        let digits = query.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() >= 7);
        let phone = format!("+{}", digits.unwrap_or_default());
        let row = json!([{"user_id": USER, "whatsapp_phone": phone, "whatsapp_user_id": null}]);
        return (json, row.to_string()).into_response();
    }
    if query.contains("id=eq.") {
        return (json, "[]").into_response();
    }
    // An empty page for a misunderstood request would be measured as a valid page.
    let Some(rows) = limit(query, headers) else { return StatusCode::BAD_REQUEST.into_response() };
    let mut pages = lock(&shared.pages);
    let page = match pages.iter().find(|(size, _)| *size == rows) {
        Some((_, page)) => page.clone(),
        None => {
            let page = Bytes::from(page(rows));
            pages.push((rows, page.clone()));
            page
        }
    };
    (json, page).into_response()
}

/// Returns the requested number of rows: from `limit`, or from a range as sent by the crate `postgrest`.
fn limit(query: &str, headers: &HeaderMap) -> Option<usize> {
    let by_query = query.split('&').find_map(|pair| pair.strip_prefix("limit="));
    if let Some(limit) = by_query {
        return limit.parse().ok();
    }
    let (first, last) = headers.get(header::RANGE)?.to_str().ok()?.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (last + 1).checked_sub(first)
}

/// Returns rows in PostgREST's format, messages and replies alternating.
fn page(rows: usize) -> String {
    let row = |n: usize| {
        let at = format!("2026-11-24T03:{:02}:{:02}.{:06}+00:00", n / 60 % 60, n % 60, n);
        let value = |column: &str| match column {
            "id" => json!(format!("9b2f0c1e-8a55-5c1e-9d3e-{n:012}")),
            "user_id" => json!(USER),
            "channel" => json!("whatsapp"),
            "role" => json!(if n.is_multiple_of(2) { "assistant" } else { "user" }),
            "content" => json!("Does it come in another color? I have seen a green one in the window."),
            "created_at" => json!(at),
            "type" => json!("text"),
            "phone_number_id" => json!(local_stack::services::PHONE_NUMBER_ID),
            "wamids" => json!([format!("wamid.HQsLMTY1MDU1NTEyMzQVAgASGBQ{n:020}AA=")]),
            "status" if n.is_multiple_of(2) => json!("read"),
            "sent_at" | "delivered_at" | "read_at" if n.is_multiple_of(2) => json!(at),
            _ => Value::Null,
        };
        // In the order of the columns, as in PostgREST's output.
        let fields = MessageResponse::COLUMNS.split(',');
        let fields: Vec<_> = fields.map(|column| format!("\"{column}\":{}", value(column))).collect();
        format!("{{{}}}", fields.join(","))
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    // PostgreSQL puts each row on a separate line.
    format!("[{}]", rows.join(", \n "))
}

/// Returns the response of the Graph API.
fn sent() -> Response {
    let answer = json!({"messaging_product": "whatsapp", "contacts": [{"input": "16505551234", "wa_id": "16505551234"}],
        "messages": [{"id": "wamid.HQsLMTY1MDU1NTEyMzQVAgASGBQyOTI3QjQ2NDlDRjQzMDdGOTkwMAA="}]});
    ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], answer.to_string()).into_response()
}

/// A listener that waits for the first bytes of TLS.
pub struct Tls {
    listener: TcpListener,
}

impl Tls {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When no port is available.
    pub async fn start() -> anyhow::Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0").await? })
    }

    /// Returns its URL.
    ///
    /// # Errors
    /// When the socket has no address.
    pub fn url(&self) -> anyhow::Result<String> {
        Ok(format!("https://{}", self.listener.local_addr()?))
    }

    /// Waits for the first ClientHello, and returns the CPU time of the process until then.
    ///
    /// # Errors
    /// When other data arrives.
    pub async fn hello(&self, pid: u32) -> anyhow::Result<Duration> {
        let (stream, _) = self.listener.accept().await?;
        let mut first = [0];
        stream.peek(&mut first).await?;
        let cpu = usage::cpu(pid)?;
        // A record of type handshake. Source: RFC 8446, section 5.1.
        if first != [22] {
            bail!("not TLS: {first:?}");
        }
        Ok(cpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_rows_is_read_in_either_way_and_never_guessed() {
        let ranged = |range: &'static str| {
            limit(
                "select=id",
                &HeaderMap::from_iter([(header::RANGE, header::HeaderValue::from_static(range))]),
            )
        };
        assert_eq!(ranged("0-50"), Some(51));
        assert_eq!(ranged("x"), None);
        assert_eq!(limit("select=id&limit=51", &HeaderMap::new()), Some(51));
        assert_eq!(limit("select=id", &HeaderMap::new()), None);
    }

    #[test]
    fn a_page_is_one_that_messages_reads() {
        let rows: Vec<MessageResponse> = serde_json::from_str(&page(51)).expect("rows");
        assert_eq!(rows.len(), 51);
        assert!(rows.iter().all(|row| row.wamids.is_some()));
    }
}
