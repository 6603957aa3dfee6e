//! Fault injection: errors, unusable answers, delays and lost connections.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use local_loopback::schedule::Schedule;
use serde::Deserialize;

/// Fault of one valid request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Outcome of the request.
    pub outcome: Outcome,
    /// Delay before the outcome. A long delay emulates a hanging server.
    pub delay: Duration,
}

/// Outcome of a request. As JSON, `fault` is the name in snake case, beside the fields: `{"fault": "error", "status": 500}`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Outcome {
    /// The normal answer.
    #[default]
    Answer,
    /// An error.
    Error {
        /// HTTP status, such as 401 or 500.
        status: u16,
    },
    /// 429: too many requests.
    Throttled {
        /// The header `Retry-After`, in seconds.
        retry_after: Option<u32>,
    },
    /// 200 with a page of HTML, as a proxy returns it.
    Garbage,
    /// 200 with an answer without words.
    Empty,
    /// 200 with a refusal in place of the answer.
    Refusal,
    /// 200 with an answer that the content filter has truncated.
    ContentFilter,
    /// 400 for a longer conversation; the answer for others.
    ContextTooLong {
        /// The number of messages that the model accepts, without its instructions.
        longest: usize,
    },
    /// A connection reset in place of the answer, which the model has produced.
    Reset,
}

impl From<Outcome> for Fault {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, delay: Duration::ZERO }
    }
}

impl Fault {
    /// An error.
    #[must_use]
    pub const fn error(status: u16) -> Self {
        Self { outcome: Outcome::Error { status }, delay: Duration::ZERO }
    }

    /// The answer after `delay`.
    #[must_use]
    pub const fn slow(delay: Duration) -> Self {
        Self { outcome: Outcome::Answer, delay }
    }

    /// This fault with a delay.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

#[derive(Default)]
pub(crate) struct Faults {
    schedule: Mutex<Schedule<Fault>>,
}

impl Faults {
    pub(crate) fn add_next(&self, count: usize, fault: Fault) {
        self.lock().add_next(count, fault);
    }

    pub(crate) fn set_always(&self, fault: Option<Fault>) {
        self.lock().set_always(fault);
    }

    pub(crate) fn clear(&self) {
        *self.lock() = Schedule::default();
    }

    /// Consumes and returns the fault of a valid request.
    pub(crate) fn take(&self) -> Fault {
        self.lock().take().unwrap_or(Outcome::Answer.into())
    }

    fn lock(&self) -> MutexGuard<'_, Schedule<Fault>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
