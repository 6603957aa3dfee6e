//! What is posted to the webhook, by the page or by anybody else: seen at the gateway, on its way in and out.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use reply::delivery::Work;
use reply::incoming::Incoming;
use secrecy::SecretString;
use serde_json::Value;
use shared::sender::Sender;
use tokio::time::Instant;
use webhook::entry::Entry;
use webhook::payload::{self, Kind};
use webhook::readable::Readable;
use webhook::signature::{self, AppSecret, SignatureError};

use super::App;
use crate::services::APP_SECRET;

/// The largest body that the gateway takes.
const MAX_BODY: usize = 10 * 1024 * 1024;

/// A POST, read as `webhook` and `reply` read it.
#[derive(Debug)]
pub(super) struct Post {
    /// `valid`, `missing` or `invalid`.
    pub(super) signature: &'static str,
    pub(super) messages: Vec<Posted>,
    pub(super) statuses: Vec<Status>,
}

/// A person's message.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) wamid: String,
    pub(super) sender: Option<Sender>,
    /// The name that the sender gave themselves.
    pub(super) name: Option<String>,
    pub(super) kind: String,
    /// As the history shows it.
    pub(super) text: String,
    pub(super) quotes: Option<String>,
    /// The message that a reaction, an edit or a revoke is about.
    pub(super) refers_to: Option<String>,
    /// A reaction's emoji.
    pub(super) emoji: Option<String>,
}

/// What became of a message of the business.
#[derive(Debug)]
pub(super) struct Status {
    pub(super) wamid: String,
    pub(super) name: String,
    pub(super) error: Option<String>,
}

/// Looks at every POST to the webhook that passes.
pub(super) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || request.uri().path() != "/webhook" {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let post = Post::read(&parts.headers, &body);
    app.hub.change(|model| model.post_arrived(&post));
    let start = Instant::now();
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (status, took) = (response.status().as_u16(), start.elapsed());
    app.hub.change(|model| model.post_answered(&post, status, took));
    app.hub.survey_soon();
    response
}

impl Post {
    fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let header = headers.get(signature::HEADER).map(|value| value.to_str().unwrap_or_default());
        let signature = match AppSecret::new(&SecretString::from(APP_SECRET)).verify(body, header) {
            Ok(()) => "valid",
            Err(SignatureError::Missing) => "missing",
            Err(_) => "invalid",
        };
        let mut post = Self { signature, messages: Vec::new(), statuses: Vec::new() };
        let body = Readable::of(body);
        let updates = payload::read(&body);
        let entries = Entry::all(&updates, Utc::now()).unwrap_or_default();
        for (update, entry) in updates.iter().zip(entries) {
            match Work::read(&entry.body) {
                Ok(Work::Answer(message)) => post.messages.extend(Posted::new(*message, &update.kind)),
                Ok(Work::Status(status)) => {
                    let (wamid, name, error) = (status.wamid, status.name, status.error_text);
                    post.statuses.push(Status { wamid, name, error });
                }
                _ => {}
            }
        }
        post
    }

    /// Whether it can be Meta's.
    pub(super) fn is_signed(&self) -> bool {
        self.signature == "valid"
    }
}

impl Posted {
    /// Without an id nobody can follow it.
    fn new(message: Incoming, kind: &Kind<'_>) -> Option<Self> {
        let raw = match kind {
            Kind::Message { message, .. } => serde_json::from_str(message.get()).unwrap_or_default(),
            _ => Value::Null,
        };
        Some(Self {
            wamid: message.wamid?,
            sender: message.sender,
            name: message.sender_name,
            text: message.content.text(&message.kind),
            quotes: message.quotes,
            refers_to: message.content.refers_to().map(str::to_owned),
            emoji: raw.pointer("/reaction/emoji").and_then(Value::as_str).map(str::to_owned),
            kind: message.kind,
        })
    }
}

/// Milliseconds with a tenth.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
