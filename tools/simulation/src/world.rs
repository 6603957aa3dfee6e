//! The world of a run: what every service remembers, on one virtual clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use local_sqs::{Broker, Timestamp};
use reply::memory::Memory;
use shared::message::MessageCreate;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::Break;
use super::attempts::Attempts;
use super::events::Events;
use super::faults::{Chance, Plan};
use super::meta::People;
use super::statuses::Statuses;
use super::trace::Trace;

/// What unlinked senders are answered.
pub const REGISTRATION_TEXT: &str = "Please register.";

/// When every run starts, in seconds since 1970: 2026-11-24 00:00 UTC.
pub const EPOCH_SECONDS: u64 = 1_795_478_400;
const EPOCH: u64 = EPOCH_SECONDS * 1000;

/// Everything outside the functions.
#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
    /// Something changed at a queue, or an actor is done.
    pub changed: Notify,
    start: Instant,
}

/// What the services remember, and what the run remembers about them.
#[derive(Debug)]
pub struct State {
    /// Milliseconds since the start.
    pub now: u64,
    /// Everything by chance.
    pub chance: Chance,
    /// What goes wrong.
    pub plan: Plan,
    /// The promise that is broken on purpose.
    pub broken: Option<Break>,
    /// What happened.
    pub trace: Trace,
    /// Faults by kind.
    pub injected: BTreeMap<&'static str, u64>,
    /// The queues.
    pub broker: Broker,
    /// The table `messages`.
    pub rows: BTreeMap<Uuid, Row>,
    /// What became of answers, as Meta says.
    pub statuses: Statuses,
    /// What else Meta says.
    pub events: Events,
    /// What people got, in order.
    pub sends: Vec<Send>,
    /// What the functions tried.
    pub attempts: Attempts,
    /// Who writes what.
    pub people: People,
    /// Actors that are not done: Meta's deliveries and invocations.
    pub busy: usize,
    /// Number of invocations so far.
    pub invocations: u64,
    /// What processes of `reply` remember that are free.
    pub processes: Vec<Arc<Memory>>,
    /// Processes of `reply` that were started.
    pub started: u64,
    /// Invocations of `reply` that were cut off at their deadline.
    pub cut: u64,
    /// Messages that became dead letters without ever being tried, by wamid.
    pub untried: BTreeSet<String>,
    /// Messages that were marked as read by another number than they were written to, by wamid.
    pub misread: BTreeSet<String>,
    /// Messages to which an empty or too long text was sent, by wamid.
    pub unsendable: BTreeSet<String>,
    /// Whether what made messages poison has been repaired.
    pub repaired: bool,
}

/// A row of the table, and the message that it belongs to.
#[derive(Debug)]
pub struct Row {
    /// The row.
    pub row: MessageCreate,
    /// The message.
    pub wamid: String,
    /// How far an answer has come, as its statuses say.
    pub status: Option<String>,
}

impl Row {
    /// Meta's ids of what the row holds.
    #[must_use]
    pub fn wamids(&self) -> &[String] {
        self.row.wamids.as_deref().unwrap_or_default()
    }
}

/// A text that arrived on a phone.
#[derive(Clone, Debug)]
pub struct Send {
    /// When.
    pub at: u64,
    /// Its own wamid.
    pub id: String,
    /// The wamid of the message that it answers.
    pub wamid: String,
    /// The attempt that sent it.
    pub attempt: usize,
    /// The business number that sent it.
    pub from: String,
    /// The phone number, or the user id.
    pub to: String,
    /// Its text.
    pub body: String,
}

impl World {
    /// A world at its beginning. Must be made within a runtime whose clock is paused.
    #[must_use]
    pub fn new(state: State) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new(), start: Instant::now() })
    }

    /// The state, as of now. Never held across an await.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        state
    }

    /// Asks a service: the request takes effect there after `arrive`, even when the caller is gone by then.
    pub async fn call<T: std::marker::Send + 'static>(
        self: &Arc<Self>,
        arrive: Duration,
        effect: impl FnOnce(&mut State) -> T + std::marker::Send + 'static,
    ) -> T {
        let world = self.clone();
        let service = tokio::spawn(async move {
            sleep(arrive).await;
            let answer = effect(&mut world.lock());
            world.changed.notify_waiters();
            answer
        });
        match service.await {
            Ok(answer) => answer,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Says that an actor is done.
    pub fn done(&self) {
        self.lock().busy -= 1;
        self.changed.notify_waiters();
    }
}

impl State {
    /// The time, as the queues count it.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(EPOCH + self.now)
    }

    /// The time, as a row holds it.
    #[must_use]
    pub fn utc(&self) -> DateTime<Utc> {
        let millis = i64::try_from(EPOCH + self.now).unwrap_or(i64::MAX);
        DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Whether anything may still go wrong.
    #[must_use]
    pub fn faulty(&self) -> bool {
        self.now < self.plan.end
    }

    /// Whether a fault happens now that happens in `per_mille` of 1000 cases.
    pub fn strikes(&mut self, per_mille: u64) -> bool {
        self.faulty() && self.chance.in_1000(per_mille)
    }

    /// Counts a fault, and says so in the trace.
    pub fn inject(&mut self, kind: &'static str) {
        *self.injected.entry(kind).or_default() += 1;
        self.note("fault", format_args!("{kind}"));
    }

    /// Whether this promise is broken on purpose.
    #[must_use]
    pub fn breaks(&self, what: Break) -> bool {
        self.broken == Some(what)
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        self.trace.add(self.now, who, what);
    }
}
