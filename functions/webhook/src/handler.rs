//! Which request gets which answer.

use std::time::Duration;

use chrono::Utc;
use futures::StreamExt;
use futures::stream;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{Method, StatusCode};
use lambda_http::{Body, Request, RequestExt, Response};
use shared::api::Refused;
use shared::counter::Counter;
use shared::deadline::Deadline;
use shared::logging::ShortWamid;
use shared::metrics::{milliseconds_since, timed};
use shared::names::UpdateKind;
use shared::trace;
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::batches::{self, Lane};
use crate::entry::{Entry, Subject};
use crate::handshake::{Handshake, HandshakeError, VerifyToken};
use crate::payload;
use crate::queue::{Queue, QueueError};
use crate::readable::Readable;
use crate::signature::{self, AppSecret, SignatureError};

/// Calls to the queue that run at the same time. Each needs a connection, and opening one costs more than a call.
const PARALLEL_CALLS: usize = 16;

/// How long a request may take. Below the function's timeout of 10 s (template.yaml): an invocation that is cut off
/// answers nothing, and logs nothing.
const DEADLINE: Duration = Duration::from_secs(8);

/// What is kept of an invocation's time for answering.
const ENDING: Duration = Duration::from_secs(1);

/// The function: settings and the queue.
#[derive(Debug)]
pub struct Webhook<Q> {
    app_secret: AppSecret,
    verify_token: VerifyToken,
    queue: Q,
}

/// Why a request is not answered with 200.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("there is nothing here but /webhook")]
    NotFound,
    #[error("/webhook takes GET and POST")]
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
    /// Puts the parts together.
    pub fn new(app_secret: AppSecret, verify_token: VerifyToken, queue: Q) -> Self {
        Self { app_secret, verify_token, queue }
    }

    /// Answers one request. Every failure is an answer: Meta must get one.
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
            info!(status = answer.status().as_u16(), duration_ms, "request answered");
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
        // The secrets may have been read again before this.
        let invocation = request.extensions().get::<Deadline>().copied().unwrap_or(Deadline::NONE);
        let deadline = invocation.keeping(ENDING).min(Deadline::after(DEADLINE));
        let entries = self.entries(&request)?;
        // What is sent is written down, and may be as large.
        drop(request);
        let subjects: Vec<_> = entries.iter().map(|entry| entry.subject.clone()).collect();
        timed("queue_ms", self.queue_all(batches::pack(entries), deadline)).await?;
        subjects.iter().for_each(log);
        Ok(ok())
    }

    /// What is to be queued of a request.
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
                "signed body of another product ignored"
            );
        }
        Ok(Entry::all(&updates, received_at)?)
    }

    /// Queues all lanes; the first failure is the answer, after every lane has been tried or the time is up.
    async fn queue_all(&self, lanes: Vec<Lane>, deadline: Deadline) -> Result<(), QueueError> {
        let lanes = stream::iter(lanes).map(|lane| self.send_lane(lane));
        let results = lanes.buffer_unordered(PARALLEL_CALLS).collect::<Vec<_>>();
        let results = deadline.run(DEADLINE, results).await.map_err(|_| QueueError::Deadline)?;
        results.into_iter().collect()
    }

    /// Sends a lane's batches in order, and none after one that failed: it may hold later messages of
    /// the same sender.
    async fn send_lane(&self, lane: Lane) -> Result<(), QueueError> {
        for batch in lane.batches {
            self.queue.send(batch).await?;
        }
        Ok(())
    }
}

/// What was wrong with a body. Sent again for seven days it would be no better.
fn log_faults(body: &Readable<'_>, bytes: usize) {
    if body.is_repaired {
        warn!(counter = Counter::RepairedPayloads.name(), bytes, "signed body is not valid JSON: repaired");
    }
    if let Some(unreadable) = &body.unreadable {
        let (unreadable, kept) = (unreadable.bytes, unreadable.text.len());
        error!(
            counter = Counter::UnreadablePayloads.name(),
            bytes, unreadable, kept, "signed body unreadable: kept as an event"
        );
    }
}

/// The line by which an update is found in the log.
fn log(Subject { update, wamid, name, cut_from }: &Subject) {
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
            "more updates than Meta documents: the last ones kept as one event"
        );
    }
    if let Some(bytes) = cut_from {
        warn!(
            counter = Counter::CutUpdates.name(),
            update, wamid, name, bytes, "too large for the queue: cut"
        );
    }
}

impl Refusal {
    /// The one place where a refusal becomes an answer, and a line in the log: of a failure here, of what the caller
    /// did wrong in [`shared::api`].
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
                error!(counter = Counter::UnqueuedRequests.name(), %cause, "messages not queued")
            }
            Self::Envelope(cause) => {
                error!(counter = Counter::UnqueuedRequests.name(), %cause, "messages not queued")
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
