//! Observing the calls of `…/messages` as they happen, including rejected ones.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::store::{ReadReceipt, Received};

/// Capacity for a slow subscriber; beyond it the oldest events are dropped.
const BACKLOG: usize = 4096;

/// Size limit of our responses in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// An event of the fake.
#[derive(Clone, Debug)]
pub enum GraphEvent {
    /// A message was accepted for delivery, with or without a response to the sender.
    Accepted(Box<Received>),
    /// A message was marked as read.
    Read(ReadReceipt),
    /// A call has ended.
    Called(Call),
}

/// One call of `…/messages`.
#[derive(Clone, Debug)]
pub struct Call {
    /// Time of the request.
    pub at: DateTime<Utc>,
    /// Body of the request; `null` if it is not JSON.
    pub request: Value,
    /// HTTP status of the response; `None` if the connection was reset, or the client has disconnected.
    pub status: Option<u16>,
    /// Body of the response.
    pub answer: Value,
    /// Time from the request to the response.
    pub duration: Duration,
}

/// Subscribers to the events.
#[derive(Debug)]
pub(crate) struct Subscribers(broadcast::Sender<GraphEvent>);

impl Default for Subscribers {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Subscribers {
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<GraphEvent> {
        self.0.subscribe()
    }

    pub(crate) fn publish(&self, happened: impl FnOnce() -> GraphEvent) {
        if self.0.receiver_count() > 0 {
            // An error means that no subscriber is left.
            let _ = self.0.send(happened());
        }
    }

    /// Records a call; its end is published when the result is completed or dropped.
    pub(crate) fn watch(&self, body: &[u8]) -> Watched<'_> {
        let request = serde_json::from_slice(body).unwrap_or_default();
        let call =
            Call { at: Utc::now(), request, status: None, answer: Value::Null, duration: Duration::ZERO };
        Watched { subscribers: self, call, start: Instant::now() }
    }
}

/// A call in progress. A client that disconnects drops it.
pub(crate) struct Watched<'a> {
    subscribers: &'a Subscribers,
    call: Call,
    start: Instant,
}

impl Watched<'_> {
    /// Records the response and returns it.
    pub(crate) async fn answered(&mut self, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(body, MAX_ANSWER).await else {
            return Response::from_parts(parts, Body::empty());
        };
        // Without a body it is the placeholder of a connection reset.
        if !body.is_empty() || parts.status != StatusCode::INTERNAL_SERVER_ERROR {
            self.call.status = Some(parts.status.as_u16());
            self.call.answer = serde_json::from_slice(&body).unwrap_or_default();
        }
        Response::from_parts(parts, Body::from(body))
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.call.duration = self.start.elapsed();
        self.subscribers.publish(|| GraphEvent::Called(self.call.clone()));
    }
}
