//! The HTTP server: a thin layer that adds the clock, the lock and long polling.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use local_loopback::Pages;
use local_loopback::server::{CancellationToken, Server};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::broker::Broker;
use crate::error::{Result, SqsError};
use crate::faults::{Fault, Faults};
use crate::inspect::QueueView;
use crate::protocol::{self, Action, Context, ReceiveRequest};
use crate::time::Timestamp;

/// 1 MiB of control characters is 6 MiB of JSON, plus the rest of the request.
const MAXIMUM_REQUEST: usize = 16 * 1024 * 1024;

/// An HTTP endpoint for the queues on this machine. Dropping the server stops it.
#[derive(Debug)]
pub struct SqsServer {
    shared: Arc<Shared>,
    server: Server,
}

#[derive(Debug)]
struct Shared {
    endpoint_url: String,
    clock: Clock,
    broker: Mutex<Broker>,
    faults: Mutex<Faults>,
    /// A queue has changed: waiting receives must poll again.
    changed: Notify,
    /// Number of changes, for observers outside the protocol.
    changes: watch::Sender<u64>,
    stopping: CancellationToken,
}

/// A monotonic time of day.
#[derive(Debug)]
struct Clock {
    epoch: Duration,
    started: Instant,
}

impl Clock {
    fn start() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { epoch, started: Instant::now() }
    }

    fn now(&self) -> Timestamp {
        Timestamp::default().plus(self.epoch + self.started.elapsed())
    }

    /// Not before `at`: a timestamp is truncated to the millisecond, a clock is not.
    fn instant(&self, at: Timestamp) -> Instant {
        self.started + at.since(Timestamp::default().plus(self.epoch)) + Duration::from_millis(1)
    }
}

impl SqsServer {
    /// Starts a server without queues on 127.0.0.1. Port 0 means any free port.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let endpoint_url = format!("http://{}", listener.local_addr()?);
        let stopping = CancellationToken::new();
        let (seed, _) = Uuid::new_v4().as_u64_pair();
        let shared = Arc::new(Shared {
            endpoint_url,
            clock: Clock::start(),
            broker: Mutex::new(Broker::new(seed)),
            faults: Mutex::default(),
            changed: Notify::new(),
            changes: watch::Sender::new(0),
            stopping: stopping.clone(),
        });
        let router = Router::new()
            // Older SDKs post to the queue URL instead of the endpoint.
            .fallback(post(handle))
            .layer(DefaultBodyLimit::max(MAXIMUM_REQUEST))
            .with_state(shared.clone());
        let server = Server::start(listener, router, Pages::None, stopping)?;
        Ok(Self { shared, server })
    }

    /// For `AWS_ENDPOINT_URL_SQS`.
    #[must_use]
    pub fn endpoint_url(&self) -> &str {
        &self.shared.endpoint_url
    }

    /// The URL of the queue `name`, which need not exist.
    #[must_use]
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.endpoint_url(), crate::broker::ACCOUNT)
    }

    /// A snapshot of a queue, without receiving from it; `None` if the queue does not exist.
    #[must_use]
    pub fn view(&self, name: &str) -> Option<QueueView> {
        let [view] = self.views([name]);
        view
    }

    /// Snapshots of several queues at the same time.
    #[must_use]
    pub fn views<const N: usize>(&self, names: [&str; N]) -> [Option<QueueView>; N] {
        let mut broker = self.shared.broker();
        let transfers = broker.transfers;
        broker.advance(self.shared.clock.now());
        if broker.transfers != transfers {
            self.shared.changed.notify_waiters();
        }
        names.map(|name| broker.queue(name).ok().map(crate::Queue::view))
    }

    /// A counter of sends, receives, visibility changes, moves and deletes. The end of a visibility timeout
    /// or delay does not count.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Operates on the queues directly, at the current time. Waiting receives poll again afterwards.
    pub fn with_broker<T>(&self, operate: impl FnOnce(&mut Broker, Timestamp) -> T) -> T {
        let result = {
            let mut broker = self.shared.broker();
            let now = self.shared.clock.now();
            broker.advance(now);
            operate(&mut broker, now)
        };
        self.shared.note_change();
        result
    }

    /// Makes the next `times` calls of an action fail, after those already scheduled.
    pub fn fail_next(&self, action: Action, times: usize, fault: Fault) {
        lock(&self.shared.faults).add(action, times, &fault);
    }

    /// Makes every call of an action fail without a fault from [`SqsServer::fail_next`], until it is set to
    /// `None`.
    pub fn fail_always(&self, action: Action, fault: Option<Fault>) {
        lock(&self.shared.faults).set_always(action, fault);
    }

    /// Clears all scheduled faults.
    pub fn clear_faults(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Stops: no new connections, waiting receives return at once, requests in progress are completed.
    /// Afterwards the port is free and the messages are lost.
    pub async fn stop(self) {
        self.server.stop().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere fails that request; the queues have no half-changed state across calls.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn broker(&self) -> MutexGuard<'_, Broker> {
        lock(&self.broker)
    }

    fn perform(&self, action: Action, body: &[u8], fault: Option<&Fault>) -> Result<Vec<u8>> {
        let refuse = |position| fault.and_then(|fault| fault.for_entry(position));
        let mut broker = self.broker();
        let now = self.clock.now();
        let mut context = Context { broker: &mut broker, now, endpoint: &self.endpoint_url, refuse: &refuse };
        let result = protocol::perform(&mut context, action, body);
        drop(broker);
        self.note_change();
        result
    }

    fn note_change(&self) {
        self.changed.notify_waiters();
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Receives at once or, within the wait time, as soon as there is a message.
    async fn receive(&self, body: &[u8]) -> Result<Vec<u8>> {
        let request: ReceiveRequest = protocol::parse(body)?;
        let deadline = Instant::now() + request.wait(&self.broker())?;
        loop {
            // Registered before polling, so that a change between polling and waiting is not missed.
            let changed = self.changed.notified();
            let (received, next_event) = {
                let mut broker = self.broker();
                let transfers = broker.transfers;
                let received = request.perform(&mut broker, self.clock.now())?;
                if broker.transfers != transfers {
                    self.changed.notify_waiters();
                }
                (received, broker.next_event())
            };
            if !received.is_empty() {
                self.changes.send_modify(|changes| *changes += 1);
            }
            if !received.is_empty() || Instant::now() >= deadline || self.stopping.is_cancelled() {
                return protocol::answer(Ok(request.result(received)));
            }
            let wake = next_event.map_or(deadline, |at| deadline.min(self.clock.instant(at)));
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(wake) => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }
}

async fn handle(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let result = match Action::from_target(target) {
        Ok(action) => {
            let result = answer(&shared, action, &body).await;
            let code = result.as_ref().err().map(SqsError::code);
            tracing::debug!(?action, code, "answered");
            result
        }
        Err(error) => Err(error),
    };
    respond(result)
}

async fn answer(shared: &Shared, action: Action, body: &[u8]) -> Result<Vec<u8>> {
    let fault = lock(&shared.faults).take(action);
    if let Some(error) = fault.as_ref().and_then(Fault::instead) {
        return Err(error);
    }
    let result = match action {
        Action::ReceiveMessage => shared.receive(body).await,
        action => shared.perform(action, body, fault.as_ref()),
    };
    if fault == Some(Fault::AnswerLost) { Err(SqsError::InternalError) } else { result }
}

fn respond(result: Result<Vec<u8>>) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        headers.insert("x-amzn-requestid", id);
    }
    match result {
        Ok(body) => (StatusCode::OK, headers, body).into_response(),
        Err(error) => {
            let fault = if error.sender_fault() { "Sender" } else { "Receiver" };
            if let Ok(value) = HeaderValue::from_str(&format!("{};{fault}", error.code())) {
                headers.insert("x-amzn-query-error", value);
            }
            let body = serde_json::json!({ "__type": error.shape(), "message": error.to_string() });
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
            (status, headers, body.to_string()).into_response()
        }
    }
}
