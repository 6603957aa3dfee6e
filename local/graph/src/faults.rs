//! Faults that tests script: errors, delays and lost connections.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What happens to one valid send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// How it ends.
    pub outcome: Outcome,
    /// Whether the message goes out all the same.
    pub effect: Effect,
    /// Time before the outcome. Long enough, it is a server that hangs.
    pub delay: Duration,
}

/// How a send ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The usual answer.
    Answer,
    /// This HTTP status, with this code in Meta's error body.
    Error {
        /// HTTP status, 200 to 599.
        status: u16,
        /// `error.code`.
        code: i64,
    },
    /// The connection is reset and there is no answer.
    Reset,
}

/// When a send takes effect, relative to the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// After it, and only if the outcome is [`Outcome::Answer`] and the client is still there.
    AfterFault,
    /// Before it: the message is out whatever the client learns.
    BeforeFault,
}

impl Fault {
    /// An error instead of sending.
    #[must_use]
    pub const fn error(status: u16, code: i64) -> Self {
        Self::new(Outcome::Error { status, code }, Effect::AfterFault)
    }

    /// The connection is reset; nothing was sent.
    #[must_use]
    pub const fn reset_before_effect() -> Self {
        Self::new(Outcome::Reset, Effect::AfterFault)
    }

    /// The message goes out and the connection is reset in place of the answer.
    #[must_use]
    pub const fn reset_after_effect() -> Self {
        Self::new(Outcome::Reset, Effect::BeforeFault)
    }

    /// The message goes out only after `delay`, and not at all when the client has given up by then.
    #[must_use]
    pub const fn slow(delay: Duration) -> Self {
        Self::new(Outcome::Answer, Effect::AfterFault).after(delay)
    }

    /// The message goes out at once; the answer comes after `delay`.
    #[must_use]
    pub const fn late_answer(delay: Duration) -> Self {
        Self::new(Outcome::Answer, Effect::BeforeFault).after(delay)
    }

    /// The same fault with this delay.
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
    next: VecDeque<(usize, Fault)>,
    recipients: HashMap<String, VecDeque<(Option<usize>, Fault)>>,
    /// What every other send meets.
    always: Option<Fault>,
}

impl Faults {
    pub(crate) fn add_next(&self, count: usize, fault: Fault) {
        self.lock().next.push_back((count, fault));
    }

    pub(crate) fn add_recipient(&self, address: &str, count: Option<usize>, fault: Fault) {
        self.lock().recipients.entry(key(address)).or_default().push_back((count, fault));
    }

    pub(crate) fn set_always(&self, fault: Option<Fault>) {
        self.lock().always = fault;
    }

    pub(crate) fn clear(&self) {
        *self.lock() = Script::default();
    }

    /// The fault that a valid send to `address` meets now; it is used up by this.
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
        while let Some((left, fault)) = script.next.front_mut() {
            if *left > 0 {
                *left -= 1;
                return Some(*fault);
            }
            script.next.pop_front();
        }
        script.always
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `+1650…` and `1650…` are one recipient.
fn key(address: &str) -> String {
    address.trim_start_matches('+').to_owned()
}
