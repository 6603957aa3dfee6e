//! How long a person waits for an answer.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::responder::Question;
use crate::retry::Backoff;

/// The time since the receipt of a turn's newest message after which no further try is made.
pub const MAX_WAIT: Duration = Duration::from_secs(120);

/// The tries after which no further one is made, unless an operator must act.
pub const MAX_TRIES: u32 = 3;

/// What is left of the time for a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Retries {
    left: Duration,
    tries: u32,
}

impl Retries {
    /// Returns what is left at `now`.
    pub(super) fn of(question: Question<'_>, now: DateTime<Utc>) -> Self {
        let received_at = question.messages.iter().map(|message| message.received_at).max();
        let waited = received_at.map(|at| (now - at).to_std().unwrap_or_default()).unwrap_or_default();
        Self { left: MAX_WAIT.saturating_sub(waited), tries: question.tries }
    }

    /// Returns the time until the next try after a passing failure: 4, 16 s, or the time that the server names; `None` when
    /// this was the last try.
    pub(super) fn retry(self, key: &str, named: Option<Duration>) -> Option<Duration> {
        if self.tries >= MAX_TRIES {
            return None;
        }
        self.after(named.unwrap_or_else(|| Backoff::Transient.delay(key, self.tries)))
    }

    /// Returns the same after a failure of the database, which is waited for as long as may be.
    pub(super) fn retry_reading(self, key: &str) -> Option<Duration> {
        self.after(Backoff::Transient.delay(key, self.tries))
    }

    /// Returns the time until the one further try after a failure that an operator must repair.
    pub(super) fn last_retry(self) -> Option<Duration> {
        self.after(MAX_WAIT)
    }

    /// Returns this time in whole seconds, or what is left.
    fn after(self, wait: Duration) -> Option<Duration> {
        // The visibility timeout of a message is in whole seconds.
        let seconds = |time: Duration| time.as_secs() + u64::from(time.subsec_nanos() > 0);
        (!self.left.is_zero()).then(|| Duration::from_secs(seconds(wait).clamp(1, seconds(self.left).max(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(left: u64, tries: u32) -> Retries {
        Retries { left: Duration::from_millis(left), tries }
    }

    #[test]
    fn a_wait_is_never_longer_than_what_is_left() {
        let ms = Duration::from_millis;
        let secs = |secs: u64| Some(Duration::from_secs(secs));
        for (left, tries, named, expected) in [
            (120_000, 1, Some(ms(7000)), secs(7)),
            (120_000, 1, Some(ms(7001)), secs(8)),
            (120_000, 1, Some(ms(0)), secs(1)),
            (120_000, 2, Some(ms(600_000)), secs(120)),
            (1500, 2, Some(ms(600_000)), secs(2)),
            (120_000, 3, Some(ms(1000)), None),
            (0, 1, Some(ms(1000)), None),
        ] {
            assert_eq!(retries(left, tries).retry("wamid.1", named), expected, "{left} {tries} {named:?}");
        }
        for (tries, range) in [(1, 2..=4), (2, 8..=16)] {
            let wait = retries(120_000, tries).retry("wamid.1", None).expect("a wait");
            assert!(range.contains(&wait.as_secs()), "{wait:?}");
        }
        assert_eq!(retries(90_000, 9).last_retry(), secs(90));
        assert_eq!(retries(0, 1).last_retry(), None);
        let wait = retries(120_000, 9).retry_reading("wamid.1").expect("a wait");
        assert_eq!(wait.as_secs(), 120, "as long as may be, whatever the number of tries");
    }
}
