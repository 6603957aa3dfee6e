//! Routing of requests and the responses to them.

use std::time::Duration;

use chrono::Utc;
use futures::StreamExt;
use futures::stream;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, StatusCode};
use lambda_http::{Body, Request, RequestExt, Response};
use shared::lambda::api::Refused;
use shared::lambda::counter::Counter;
use shared::lambda::deadline::Deadline;
use shared::lambda::logging::ShortWamid;
use shared::lambda::metrics::{milliseconds_since, timed};
use shared::lambda::names::UpdateKind;
use shared::lambda::trace;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::batches::{self, Lane};
use crate::entry::{Entry, Subject};
use crate::handshake::{Handshake, HandshakeError, VerifyToken};
use crate::payload;
use crate::queue::{Queue, QueueError};
use crate::readable::Readable;
use crate::signature::{self, AppSecret, SignatureError};

/// Concurrent calls to the queue. Each needs a connection, and opening a connection costs more than a call.
const PARALLEL_CALLS: usize = 16;

/// Maximum duration of a request. Below the function's timeout of 10 s (template.yaml): an invocation that times out
/// sends no response and logs nothing.
const DEADLINE: Duration = Duration::from_secs(8);

/// The part of an invocation's time that is reserved for the response.
const ENDING: Duration = Duration::from_secs(1);

/// The function: settings and the queue.
#[derive(Debug)]
pub struct Webhook<Q> {
    app_secret: AppSecret,
    verify_token: VerifyToken,
    queue: Q,
}

/// The reason for a response other than 200.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("not found: this function serves only /webhook")]
    NotFound,
    #[error("/webhook accepts GET and POST")]
    Method,
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error("the messages could not be queued; send them again")]
    Queue(#[from] QueueError),
    #[error("the messages could not be queued; send them again")]
    Envelope(#[from] serde_json::Error),
}

impl<Q: Queue> Webhook<Q> {
    /// Creates the function from its settings and the queue.
    pub fn new(app_secret: AppSecret, verify_token: VerifyToken, queue: Q) -> Self {
        Self { app_secret, verify_token, queue }
    }

    /// Handles one request. Every failure is a response: Meta sends a request again that got none.
    pub async fn handle(&self, request: Request) -> Response<Body> {
        let start = Instant::now();
        let answer = match (request.uri().path(), request.method()) {
            ("/webhook" | "/webhook/", &Method::GET) => self.handshake(&request),
            ("/webhook" | "/webhook/", &Method::POST) => self.receive(request).await,
            ("/webhook" | "/webhook/", _) => Err(Refusal::Method),
            _ => Err(Refusal::NotFound),
        };
        let answer = answer.unwrap_or_else(Refusal::into_response);
        if answer.extensions().get::<Refused>().is_none() {
            let duration_ms = milliseconds_since(start);
            info!(status = answer.status().as_u16(), duration_ms, "request handled");
        }
        answer
    }

    fn handshake(&self, request: &Request) -> Result<Response<Body>, Refusal> {
        let parameters = request.query_string_parameters();
        let challenge = self.verify_token.answer(&Handshake {
            mode: parameters.first("hub.mode"),
            verify_token: parameters.first("hub.verify_token"),
            challenge: parameters.first("hub.challenge"),
        })?;
        info!("handshake accepted");
        Ok(response(StatusCode::OK, "text/plain; charset=utf-8", challenge))
    }

    async fn receive(&self, request: Request) -> Result<Response<Body>, Refusal> {
        // The invocation may have spent time on reading the secrets again.
        let invocation = request.extensions().get::<Deadline>().copied().unwrap_or(Deadline::NONE);
        let deadline = invocation.keeping(ENDING).min(Deadline::after(DEADLINE));
        let entries = self.entries(&request)?;
        // The entries hold a copy of the body, which may be large.
        drop(request);
        let subjects: Vec<_> = entries.iter().map(|entry| entry.subject.clone()).collect();
        timed("queue_ms", self.queue_all(batches::pack(entries), deadline)).await?;
        subjects.iter().for_each(log);
        Ok(ok())
    }

    /// Verifies a request and returns the entries to queue.
    fn entries(&self, request: &Request) -> Result<Vec<Entry>, Refusal> {
        let body = request.body().as_ref();
        let signature =
            request.headers().get(signature::HEADER).map(|value| value.to_str().unwrap_or_default());
        self.app_secret.verify(body, signature)?;

        let received_at = Utc::now();
        let readable = Readable::of(body);
        let updates = payload::read(&readable);
        log_faults(&readable, body.len());
        if updates.is_empty() {
            warn!(
                counter = Counter::ForeignPayloads.name(),
                bytes = body.len(),
                "signed body of another Meta product ignored"
            );
        }
        Ok(Entry::all(&updates, received_at)?)
    }

    /// Queues all lanes; returns the first failure, after every lane was tried or the deadline has passed.
    async fn queue_all(&self, lanes: Vec<Lane>, deadline: Deadline) -> Result<(), QueueError> {
        let lanes = stream::iter(lanes).map(|lane| self.send_lane(lane));
        let results = lanes.buffer_unordered(PARALLEL_CALLS).collect::<Vec<_>>();
        let results = deadline.run(DEADLINE, results).await.map_err(|_| QueueError::Deadline)?;
        results.into_iter().collect()
    }

    /// Sends the batches of a lane in order, and none after a failed one: it may hold later messages of the same
    /// sender.
    async fn send_lane(&self, lane: Lane) -> Result<(), QueueError> {
        for batch in lane.batches {
            self.queue.send(batch).await?;
        }
        Ok(())
    }
}

/// Logs the faults of a body. Meta's retries, for up to seven days, would not repair them.
fn log_faults(body: &Readable<'_>, bytes: usize) {
    if body.is_repaired {
        warn!(
            counter = Counter::RepairedPayloads.name(),
            bytes, "signed body is invalid JSON and was repaired"
        );
    }
    if let Some(unreadable) = &body.unreadable {
        let (unreadable, kept) = (unreadable.bytes, unreadable.text.len());
        error!(
            counter = Counter::UnreadablePayloads.name(),
            bytes, unreadable, kept, "signed body not fully readable: unreadable part stored as an event"
        );
    }
}

/// Logs one line for an update, with its wamid and trace id.
fn log(Subject { update, wamid, name, original_bytes }: &Subject) {
    let counter = match update {
        UpdateKind::Message => Counter::AcceptedMessages,
        UpdateKind::Echo => Counter::AcceptedEchoes,
        UpdateKind::Status => Counter::AcceptedStatuses,
        UpdateKind::Event | UpdateKind::Record | UpdateKind::Unknown => Counter::AcceptedEvents,
    };
    let (counter, update) = (counter.name(), update.name());
    let trace_id = trace::current();
    let wamid = wamid.as_deref().map(ShortWamid::field);
    info!(counter, trace_id, update, wamid, name, "{update} queued");
    if name.as_deref() == Some(payload::SURPLUS) {
        error!(
            counter = Counter::SurplusPayloads.name(),
            "request holds more updates than Meta documents: surplus stored as one event"
        );
    }
    if let Some(bytes) = original_bytes {
        warn!(
            counter = Counter::TruncatedUpdates.name(),
            update, wamid, name, bytes, "{update} too large for the queue: truncated"
        );
    }
}

impl Refusal {
    /// Converts the refusal to a response, and logs a failure of this function. The mistakes of a caller are logged by
    /// [`shared::lambda::api`].
    fn into_response(self) -> Response<Body> {
        let (status, reason) = match &self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::Handshake(HandshakeError::MissingParameter) => {
                (StatusCode::BAD_REQUEST, "missing_parameter")
            }
            Self::Handshake(HandshakeError::Refused) => (StatusCode::FORBIDDEN, "wrong_verify_token"),
            Self::Signature(SignatureError::Missing) => (StatusCode::UNAUTHORIZED, "missing_signature"),
            Self::Signature(SignatureError::Malformed) => (StatusCode::UNAUTHORIZED, "malformed_signature"),
            Self::Signature(SignatureError::Wrong) => (StatusCode::UNAUTHORIZED, "wrong_signature"),
            Self::Queue(_) | Self::Envelope(_) => (StatusCode::INTERNAL_SERVER_ERROR, "unqueued"),
        };
        match &self {
            Self::Queue(cause) => {
                error!(counter = Counter::UnqueuedRequests.name(), %cause, "updates not queued: responded with 500")
            }
            Self::Envelope(cause) => {
                error!(counter = Counter::UnqueuedRequests.name(), %cause, "updates not queued: responded with 500")
            }
            _ => {}
        }
        let detail = serde_json::json!({ "detail": self.to_string() }).to_string();
        let mut response = response(status, "application/json", detail);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, POST"));
        }
        if status.is_client_error() {
            response.extensions_mut().insert(Refused(reason.into()));
        }
        response
    }
}

fn ok() -> Response<Body> {
    response(StatusCode::OK, "application/json", r#"{"status":"ok"}"#)
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}
