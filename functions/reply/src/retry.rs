//! Backoff with jitter before a message is retried.
//!
//! Meta recommends 4^n seconds for its pair rate limit. `ReportBatchItemFailures` disables Lambda's own backoff, so the
//! delay is set with `ChangeMessageVisibility`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// The growth and limit of the delays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Backoff {
    /// For a transient failure: 4^n seconds, at most 5 minutes. The sender's later messages wait too.
    Transient,
    /// For a failure that an operator must repair: 15 minutes.
    Operator,
    /// For a reply that was sent, or may have been, and is not recorded: like a transient failure, but at least
    /// [`STATUS_DELAY`], so that its status can show that it was sent.
    Lost,
    /// For rows, which no user waits for: 4^n seconds, at most 15 minutes.
    Rows,
}

/// The time for a status of a message to arrive and to be stored. It is an assumption until the metric
/// `send_to_status_ms` has measured it: Meta names no time, a status usually arrives within seconds, and after a lost
/// response its sender has waited for up to ten seconds.
pub const STATUS_DELAY: Duration = Duration::from_secs(20);

const FIFTEEN_MINUTES: u64 = 15 * 60;

impl Backoff {
    /// Returns the delay after the `attempt`th failure (the first is 1) of the message with this id.
    ///
    /// Half of it is fixed. The other half is jitter, derived from message and attempt, so that messages that failed
    /// together are not redelivered together.
    #[must_use]
    pub fn delay(self, message_id: &str, attempt: u32) -> Duration {
        let shortest = self.shortest(attempt);
        let jitter = self.seconds(attempt) / 2 + 1;
        let mut hasher = DefaultHasher::new();
        (message_id, attempt).hash(&mut hasher);
        // `ChangeMessageVisibility` takes whole seconds.
        shortest + Duration::from_secs(hasher.finish() % jitter)
    }

    /// Returns the shortest delay after the `attempt`th failure.
    #[must_use]
    pub fn shortest(self, attempt: u32) -> Duration {
        let half = Duration::from_secs(self.seconds(attempt).div_ceil(2));
        if self == Self::Lost { half.max(STATUS_DELAY) } else { half }
    }

    /// Returns the longest delay after the `attempt`th failure, in seconds.
    fn seconds(self, attempt: u32) -> u64 {
        let grown = 4_u64.saturating_pow(attempt.clamp(1, 16));
        match self {
            Self::Transient | Self::Lost => grown.min(5 * 60),
            Self::Operator => FIFTEEN_MINUTES,
            Self::Rows => grown.min(FIFTEEN_MINUTES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn delays_grow_to_their_limit_with_jitter_over_half_of_it(id: String, attempt in 0u32..2000) {
            for (backoff, limit) in [(Backoff::Transient, 300), (Backoff::Operator, 900), (Backoff::Rows, 900)] {
                let delay = backoff.delay(&id, attempt).as_secs();
                let full = match backoff {
                    Backoff::Operator => 900,
                    _ => 4_u64.saturating_pow(attempt.clamp(1, 16)).min(limit),
                };
                proptest::prop_assert!((full / 2..=full).contains(&delay), "{:?} {} {}", backoff, attempt, delay);
            }
        }
    }

    #[test]
    fn messages_that_failed_together_have_different_delays() {
        let delays: std::collections::HashSet<_> =
            (0..100).map(|n| Backoff::Transient.delay(&n.to_string(), 4)).collect();
        assert!(delays.len() > 20, "{delays:?}");
    }
}
