//! A measuring Lambda runtime API, with as little overhead as possible.
//!
//! Source of the protocol: “Using the Lambda runtime API for custom runtimes”, AWS Lambda Developer Guide.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::usage;

/// The deadline of an invocation, sent to the function.
const DEADLINE: Duration = Duration::from_secs(60);

/// The usage of a process until its first poll.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// CPU time, user and system, including the loading of the program.
    pub cpu: Duration,
    /// Time since the start.
    pub elapsed: Duration,
}

/// One invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Time from sending the event to the response.
    pub answered: Duration,
    /// Time from sending the event to the next poll.
    pub cycle: Duration,
    /// CPU time of the process, from its start to this response.
    pub cpu_at_answer: Duration,
    /// The response.
    pub answer: Bytes,
}

/// The API, for one process.
pub struct RuntimeApi {
    address: SocketAddr,
    shared: Arc<RuntimeState>,
    server: JoinHandle<()>,
}

#[derive(Default)]
struct RuntimeState {
    state: Mutex<Measured>,
    /// Events are available.
    given: Notify,
    /// The function waits for an event.
    idle: Notify,
}

#[derive(Default)]
struct Measured {
    pid: u32,
    started: Option<Instant>,
    first_poll: Option<Start>,
    events: VecDeque<String>,
    /// The time of sending the current event.
    handed_out: Option<Instant>,
    answered: Option<(Duration, Duration, Bytes)>,
    done: Vec<Invocation>,
    number: u64,
    idle: bool,
    error: Option<String>,
}

impl RuntimeState {
    fn lock(&self) -> MutexGuard<'_, Measured> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RuntimeApi {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When no port is available.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::<RuntimeState>::default();
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(error))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&shared));
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream: &mut tokio::net::TcpStream| {
            // A response must not wait for another packet.
            let _ = stream.set_nodelay(true);
        });
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, server })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn spawning(&self) {
        self.shared.lock().started = Some(Instant::now());
    }

    /// Before the first poll is handled: both happen on one thread.
    pub(crate) fn spawned(&self, pid: u32) {
        self.shared.lock().pid = pid;
    }

    pub(crate) fn started_at(&self) -> Instant {
        self.shared.lock().started.unwrap_or_else(Instant::now)
    }

    pub(crate) async fn first_poll(&self) -> anyhow::Result<Start> {
        loop {
            let idle = self.shared.idle.notified();
            {
                let state = self.shared.lock();
                if let Some(error) = &state.error {
                    bail!("the function reports an error: {error}");
                }
                if let Some(start) = state.first_poll {
                    return Ok(start);
                }
            }
            idle.await;
        }
    }

    pub(crate) fn give(&self, event: String) {
        self.shared.lock().events.push_back(event);
        self.shared.given.notify_one();
    }

    pub(crate) async fn invoke(&self, events: Vec<String>) -> anyhow::Result<Vec<Invocation>> {
        {
            let mut state = self.shared.lock();
            state.done = Vec::with_capacity(events.len());
            state.events.extend(events);
            state.idle = false;
        }
        self.shared.given.notify_one();
        loop {
            let idle = self.shared.idle.notified();
            {
                let mut state = self.shared.lock();
                if let Some(error) = &state.error {
                    bail!("the function reports an error: {error}");
                }
                if state.idle && state.events.is_empty() && state.handed_out.is_none() {
                    return Ok(std::mem::take(&mut state.done));
                }
            }
            idle.await;
        }
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(shared): State<Arc<RuntimeState>>) -> (HeaderMap, String) {
    {
        let now = Instant::now();
        let mut state = shared.lock();
        if state.first_poll.is_none() {
            let elapsed = state.started.map(|started| now - started).unwrap_or_default();
            state.first_poll = Some(Start { cpu: usage::cpu(state.pid).unwrap_or_default(), elapsed });
            shared.idle.notify_waiters();
        }
        if let (Some(handed_out), Some((answered, cpu_at_answer, answer))) =
            (state.handed_out.take(), state.answered.take())
        {
            state.done.push(Invocation { answered, cycle: now - handed_out, cpu_at_answer, answer });
        }
    }
    loop {
        let given = shared.given.notified();
        {
            let mut state = shared.lock();
            if let Some(event) = state.events.pop_front() {
                state.number += 1;
                let headers = headers(state.number);
                state.handed_out = Some(Instant::now());
                return (headers, event);
            }
            state.idle = true;
            shared.idle.notify_waiters();
        }
        given.await;
    }
}

fn headers(number: u64) -> HeaderMap {
    let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + DEADLINE;
    let values = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", format!("00000000-0000-4000-8000-{number:012}")),
        ("lambda-runtime-deadline-ms", deadline.as_millis().to_string()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:bench".to_owned(),
        ),
        (
            "lambda-runtime-trace-id",
            format!("Root=1-6b04fedc-{number:024};Parent=0000000000000001;Sampled=0"),
        ),
    ];
    let pairs = values.into_iter().filter_map(|(name, value)| {
        Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
    });
    pairs.collect()
}

async fn response(State(shared): State<Arc<RuntimeState>>, Path(_): Path<String>, body: Bytes) -> StatusCode {
    let now = Instant::now();
    let mut state = shared.lock();
    if let Some(handed_out) = state.handed_out {
        state.answered = Some((now - handed_out, usage::cpu(state.pid).unwrap_or_default(), body));
    }
    StatusCode::ACCEPTED
}

async fn error(State(shared): State<Arc<RuntimeState>>, body: Bytes) -> StatusCode {
    shared.lock().error = Some(String::from_utf8_lossy(&body).into_owned());
    shared.idle.notify_waiters();
    StatusCode::ACCEPTED
}
