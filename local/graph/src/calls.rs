//! Following the calls of `…/messages` as they happen, the rejected ones among them.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::store::{ReadReceipt, Received};

/// How many events may wait for a follower that is slow; the oldest are lost to it first.
const BACKLOG: usize = 4096;

/// The largest answer of ours, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Something that has happened.
#[derive(Clone, Debug)]
pub enum Happened {
    /// A message took effect: it is on its way to a phone, whatever its sender learns.
    Accepted(Received),
    /// A message was marked as read.
    Read(ReadReceipt),
    /// A call is over.
    Called(Call),
}

/// One call of `…/messages`.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came.
    pub at: DateTime<Utc>,
    /// The request's body; `null` when it is no JSON.
    pub request: Value,
    /// The answer's HTTP status; `None` when the connection was reset, or its client has gone away.
    pub status: Option<u16>,
    /// The answer's body.
    pub answer: Value,
    /// From the request to the answer.
    pub duration: Duration,
}

/// Whoever follows.
#[derive(Debug)]
pub(crate) struct Followers(broadcast::Sender<Happened>);

impl Default for Followers {
    fn default() -> Self {
        Self(broadcast::Sender::new(BACKLOG))
    }
}

impl Followers {
    pub(crate) fn follow(&self) -> broadcast::Receiver<Happened> {
        self.0.subscribe()
    }

    pub(crate) fn tell(&self, happened: impl FnOnce() -> Happened) {
        if self.0.receiver_count() > 0 {
            // An error is a follower that has gone away meanwhile.
            let _ = self.0.send(happened());
        }
    }

    /// Begins to watch a call; its end is told when the result is told or dropped.
    pub(crate) fn watch(&self, body: &[u8]) -> Watched<'_> {
        let request = serde_json::from_slice(body).unwrap_or_default();
        let call =
            Call { at: Utc::now(), request, status: None, answer: Value::Null, duration: Duration::ZERO };
        Watched { followers: self, call, start: Instant::now() }
    }
}

/// A call under way. A client that goes away drops it.
pub(crate) struct Watched<'a> {
    followers: &'a Followers,
    call: Call,
    start: Instant,
}

impl Watched<'_> {
    /// Notes the answer, which is passed on.
    pub(crate) async fn answered(&mut self, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(body, MAX_ANSWER).await else {
            return Response::from_parts(parts, Body::empty());
        };
        // Without a body it is the place-holder of a connection that is reset.
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
        self.followers.tell(|| Happened::Called(self.call.clone()));
    }
}
