//! The Lambda runtime API, for one process.
//!
//! Each process has its own listener, which identifies the process of a request. The protocol:
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use local_loopback::Pages;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Maximum size of a function's response: slightly above 6 MB, as in Lambda's own error message.
pub(crate) const RESPONSE_LIMIT: usize = 6_291_556;

/// An event to be delivered to a process.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub request_id: String,
    pub payload: Bytes,
    pub deadline: SystemTime,
    pub trace_id: String,
}

/// An error reported by a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionError {
    pub error_type: String,
    pub error_message: String,
}

pub(crate) type Outcome = Result<Bytes, FunctionError>;

/// State of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Started, not polled yet.
    Init,
    /// Reported an initialisation error.
    InitFailed(FunctionError),
    /// Polling for an event.
    Idle,
    /// Has an event, or has responded to it and not polled again.
    Busy,
}

/// The listener of one process.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    shared: Arc<RuntimeState>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct RuntimeState {
    function_arn: String,
    phase: watch::Sender<Phase>,
    sender: mpsc::Sender<Pending>,
    pending: tokio::sync::Mutex<mpsc::Receiver<Pending>>,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Pending {
    invocation: Invocation,
    reply: oneshot::Sender<Outcome>,
}

#[derive(Debug)]
struct Current {
    request_id: String,
    reply: oneshot::Sender<Outcome>,
}

impl RuntimeApi {
    pub(crate) async fn start(function_arn: String) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (sender, pending) = mpsc::channel(1);
        let shared = Arc::new(RuntimeState {
            function_arn,
            phase: watch::Sender::new(Phase::Init),
            sender,
            pending: tokio::sync::Mutex::new(pending),
            current: Mutex::new(None),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            // The whole body is read in any case; `response` checks its size afterwards.
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let router = local_loopback::guard(router, Pages::None);
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, server })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.shared.phase.subscribe()
    }

    /// Sends an event to the process, which must be idle.
    pub(crate) fn send(&self, invocation: Invocation) -> oneshot::Receiver<Outcome> {
        let (reply, outcome) = oneshot::channel();
        // Never fails: the channel has capacity for one event, and an idle process has none.
        let _ = self.shared.sender.try_send(Pending { invocation, reply });
        outcome
    }

    /// Whether the process has an event without a response.
    pub(crate) fn has_event(&self) -> bool {
        self.shared.current().is_some()
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl RuntimeState {
    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the current invocation, if its request id matches.
    fn finish(&self, request_id: &str, outcome: Outcome) -> bool {
        let Some(current) = self.current().take_if(|current| current.request_id == request_id) else {
            return false;
        };
        // The caller no longer waits after a timeout.
        let _ = current.reply.send(outcome);
        true
    }
}

async fn next(State(shared): State<Arc<RuntimeState>>) -> Response {
    if shared.current().is_some() {
        return refusal(StatusCode::FORBIDDEN, "InvalidStateTransition", "Transition is not allowed");
    }
    let mut pending = shared.pending.lock().await;
    shared.phase.send_replace(Phase::Idle);
    let Some(Pending { invocation, reply }) = pending.recv().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    shared.phase.send_replace(Phase::Busy);
    let request_id = invocation.request_id.clone();
    *shared.current() = Some(Current { request_id, reply });
    let deadline = invocation.deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", invocation.request_id),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", shared.function_arn.clone()),
        ("lambda-runtime-trace-id", invocation.trace_id),
        (header::CONTENT_TYPE.as_str(), "application/json".to_owned()),
    ] {
        // Only the trace id of a caller can be an invalid header value; the event is valid without it.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    (headers, invocation.payload).into_response()
}

async fn response(State(shared): State<Arc<RuntimeState>>, Path(id): Path<String>, body: Bytes) -> Response {
    let too_large = body.len() > RESPONSE_LIMIT;
    let outcome = if too_large {
        Err(FunctionError {
            error_type: "Function.ResponseSizeTooLarge".to_owned(),
            error_message: format!(
                "Response payload size exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
            ),
        })
    } else {
        Ok(body)
    };
    if !shared.finish(&id, outcome) {
        return unknown_request();
    }
    if too_large {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "Exceeded maximum size");
    }
    accepted()
}

async fn error(
    State(shared): State<Arc<RuntimeState>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if shared.finish(&id, Err(FunctionError::read(&headers, &body))) { accepted() } else { unknown_request() }
}

async fn init_error(State(shared): State<Arc<RuntimeState>>, headers: HeaderMap, body: Bytes) -> Response {
    if *shared.phase.borrow() != Phase::Init {
        return refusal(StatusCode::FORBIDDEN, "InvalidStateTransition", "Transition is not allowed");
    }
    shared.phase.send_replace(Phase::InitFailed(FunctionError::read(&headers, &body)));
    accepted()
}

impl FunctionError {
    fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Report {
            error_type: Option<String>,
            error_message: Option<String>,
        }
        let report: Report = serde_json::from_slice(body).unwrap_or_default();
        let header = headers.get("lambda-runtime-function-error-type").and_then(|value| value.to_str().ok());
        Self {
            error_type: report
                .error_type
                .or(header.map(str::to_owned))
                .unwrap_or("Runtime.Unknown".to_owned()),
            error_message: report.error_message.unwrap_or_default(),
        }
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({"status": "OK"}))).into_response()
}

fn unknown_request() -> Response {
    refusal(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

fn refusal(status: StatusCode, error_type: &str, message: &str) -> Response {
    (status, Json(json!({"errorType": error_type, "errorMessage": message}))).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn browser_page_gets_no_event() {
        let api = RuntimeApi::start("arn".to_owned()).await.expect("a port");
        for header in ["Host: rebound.example.com", "Host: localhost\r\nSec-Fetch-Site: cross-site"] {
            let mut stream = tokio::net::TcpStream::connect(api.address()).await.expect("connect");
            let request = format!(
                "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n{header}\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await.expect("write");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("read");
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        }
        assert_eq!(*api.phase().borrow(), Phase::Init, "nothing has polled");
    }
}
