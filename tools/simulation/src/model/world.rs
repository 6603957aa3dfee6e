//! The world of a run: the state of every service, on one virtual clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use local_sqs::{Broker, Timestamp};
use reply::graph::Callback;
use reply::memory::Memory;
use shared::meta::wamid::Wamid;
use shared::supabase::rows::MessageCreate;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::Defect;
use crate::model::attempts::Attempts;
use crate::model::clock::EPOCH_SECONDS;
use crate::model::codes::Codes;
use crate::model::events::Events;
use crate::model::faults::{Chance, Plan};
use crate::model::llm::Llm;
use crate::model::people::People;
use crate::model::statuses::Statuses;
use crate::model::trace::Trace;
use crate::model::turns::Turns;

/// Reply to unlinked senders.
pub const REGISTRATION_TEXT: &str = "Please register.";

const EPOCH: u64 = EPOCH_SECONDS * 1000;

/// The environment of the functions.
#[derive(Debug)]
pub struct World {
    state: Mutex<State>,
    /// Notified when a queue has changed, or an actor is done.
    pub changed: Notify,
    start: Instant,
}

/// The state of the services, and the records of the run.
#[derive(Debug)]
pub struct State {
    /// Milliseconds since the start.
    pub now: u64,
    /// The source of randomness.
    pub chance: Chance,
    /// The faults.
    pub plan: Plan,
    /// The deliberate defect.
    pub defect: Option<Defect>,
    /// The log of the run.
    pub trace: Trace,
    /// Number of injected faults by kind.
    pub injected: BTreeMap<&'static str, u64>,
    /// The queues.
    pub broker: Broker,
    /// The table `messages`.
    pub rows: BTreeMap<Uuid, Row>,
    /// Statuses of answers.
    pub statuses: Statuses,
    /// Other events.
    pub events: Events,
    /// Messages delivered to users, in order.
    pub sends: Vec<Send>,
    /// Attempts of the functions.
    pub attempts: Attempts,
    /// Users and their messages.
    pub people: People,
    /// Codes, and what is remembered of unlinked senders.
    pub codes: Codes,
    /// Number of active actors: Meta's deliveries and invocations.
    pub busy: usize,
    /// Number of invocations so far.
    pub invocations: u64,
    /// Memory of the idle processes of `reply`.
    pub processes: Vec<Arc<Memory>>,
    /// Number of processes of `reply` started.
    pub started: u64,
    /// Invocations of `reply` that timed out.
    pub cut: u64,
    /// Messages that became dead letters without an attempt, by wamid.
    pub untried: BTreeSet<String>,
    /// Messages marked as read by a business number other than their recipient, by wamid.
    pub misread: BTreeSet<String>,
    /// Messages with an empty or too long answer, by wamid.
    pub unsendable: BTreeSet<String>,
    /// Whether the cause of poison messages has been repaired.
    pub repaired: bool,
    /// Turns.
    pub turns: Turns,
    /// The language model.
    pub llm: Llm,
}

/// A row of the table, and its message.
#[derive(Debug)]
pub struct Row {
    /// The row.
    pub row: MessageCreate,
    /// Wamid of the message; of an answer, the one of the last message of its turn.
    pub wamid: String,
    /// Wamid of the last message of the turn.
    pub turn: String,
    /// Current status of an answer.
    pub status: Option<String>,
}

impl Row {
    /// Wamids of the messages in the row.
    #[must_use]
    pub fn wamids(&self) -> &[Wamid] {
        self.row.wamids.as_deref().unwrap_or_default()
    }
}

/// A message delivered to a phone.
#[derive(Clone, Debug)]
pub struct Send {
    /// Time of the delivery.
    pub at: u64,
    /// Its own wamid.
    pub id: String,
    /// The wamid of the answered message.
    pub wamid: String,
    /// Index of the attempt that sent it.
    pub attempt: usize,
    /// The sending business number.
    pub from: String,
    /// The recipient's phone number or user id.
    pub to: String,
    /// Body of the message.
    pub body: String,
    /// Ids of its buttons.
    pub buttons: Vec<String>,
    /// Whether it is a reply of the responder, or a part of one.
    pub is_reply: bool,
    /// Wamids of the messages that it answers.
    pub turn: Vec<String>,
    /// The data that Meta returns in its statuses.
    pub callback: Callback,
}

impl World {
    /// A new world. Requires a runtime with a paused clock.
    #[must_use]
    pub fn new(state: State) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new(), start: Instant::now() })
    }

    /// The state, at the current time. Never held across an await.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        state
    }

    /// Calls a service: the request takes effect after `arrive`, even if the caller is gone by then.
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

    /// Records that an actor is done.
    pub fn done(&self) {
        self.lock().busy -= 1;
        self.changed.notify_waiters();
    }
}

impl State {
    /// The current time for the queues.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(EPOCH + self.now)
    }

    /// The current time for a row.
    #[must_use]
    pub fn utc(&self) -> DateTime<Utc> {
        let millis = i64::try_from(EPOCH + self.now).unwrap_or(i64::MAX);
        DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Whether faults may still occur.
    #[must_use]
    pub fn faulty(&self) -> bool {
        self.now < self.plan.end
    }

    /// Whether to inject a fault with this rate now.
    pub fn draw_fault(&mut self, per_mille: u64) -> bool {
        self.faulty() && self.chance.in_1000(per_mille)
    }

    /// Counts a fault and logs it.
    pub fn inject(&mut self, kind: &'static str) {
        *self.injected.entry(kind).or_default() += 1;
        self.note("fault", format_args!("{kind}"));
    }

    /// Whether the run has this deliberate defect.
    #[must_use]
    pub fn has_defect(&self, what: Defect) -> bool {
        self.defect == Some(what)
    }

    /// Adds a line to the trace.
    pub fn note(&mut self, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        self.trace.add(self.now, who, what);
    }
}
