//! Fault injection: errors, delays and lost connections.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use local_loopback::schedule::Schedule;

/// Fault of one valid send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Outcome of the call.
    pub outcome: Outcome,
    /// Whether the message is delivered despite the outcome.
    pub effect: Effect,
    /// Delay before the outcome. A long delay emulates a hanging server.
    pub delay: Duration,
}

/// Outcome of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The normal response.
    Answer,
    /// This HTTP status, with this code in Meta's error body.
    Error {
        /// HTTP status, 200 to 599.
        status: u16,
        /// `error.code`.
        code: i64,
    },
    /// A connection reset without a response.
    Reset,
}

/// Time of the delivery, relative to the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// After the fault, and only if the outcome is [`Outcome::Answer`] and the client is still connected.
    AfterFault,
    /// Before the fault: the message is delivered, with or without a response to the client.
    BeforeFault,
}

impl Fault {
    /// An error without delivery.
    #[must_use]
    pub const fn error(status: u16, code: i64) -> Self {
        Self::new(Outcome::Error { status, code }, Effect::AfterFault)
    }

    /// A connection reset without delivery.
    #[must_use]
    pub const fn reset_before_effect() -> Self {
        Self::new(Outcome::Reset, Effect::AfterFault)
    }

    /// A connection reset in place of the response, after delivery.
    #[must_use]
    pub const fn reset_after_effect() -> Self {
        Self::new(Outcome::Reset, Effect::BeforeFault)
    }

    /// Delivery after `delay`, unless the client has disconnected by then.
    #[must_use]
    pub const fn slow(delay: Duration) -> Self {
        Self::new(Outcome::Answer, Effect::AfterFault).after(delay)
    }

    /// Delivery at once, with the response after `delay`.
    #[must_use]
    pub const fn late_response(delay: Duration) -> Self {
        Self::new(Outcome::Answer, Effect::BeforeFault).after(delay)
    }

    /// This fault with a delay.
    #[must_use]
    pub const fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    const fn new(outcome: Outcome, effect: Effect) -> Self {
        Self { outcome, effect, delay: Duration::ZERO }
    }
}

#[derive(Default)]
pub(crate) struct Faults {
    script: Mutex<Script>,
}

#[derive(Default)]
struct Script {
    recipients: HashMap<String, VecDeque<(Option<usize>, Fault)>>,
    others: Schedule<Fault>,
}

impl Faults {
    pub(crate) fn add_next(&self, count: usize, fault: Fault) {
        self.lock().others.add_next(count, fault);
    }

    pub(crate) fn add_recipient(&self, address: &str, count: Option<usize>, fault: Fault) {
        self.lock().recipients.entry(key(address)).or_default().push_back((count, fault));
    }

    pub(crate) fn set_always(&self, fault: Option<Fault>) {
        self.lock().others.set_always(fault);
    }

    pub(crate) fn clear(&self) {
        *self.lock() = Script::default();
    }

    /// Consumes and returns the fault of a valid send to `address`.
    pub(crate) fn take(&self, address: &str) -> Option<Fault> {
        let mut script = self.lock();
        if let Some(faults) = script.recipients.get_mut(&key(address)) {
            while let Some((count, fault)) = faults.front_mut() {
                match count {
                    None => return Some(*fault),
                    Some(0) => drop(faults.pop_front()),
                    Some(left) => {
                        *left -= 1;
                        return Some(*fault);
                    }
                }
            }
        }
        script.others.take()
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `+1650…` and `1650…` are the same recipient.
fn key(address: &str) -> String {
    address.trim_start_matches('+').to_owned()
}
