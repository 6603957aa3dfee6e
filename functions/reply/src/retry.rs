//! How long a message waits before it is tried again.
//!
//! Meta's advice for its pair rate limit is 4^n seconds. `ReportBatchItemFailures` switches Lambda's own
//! waiting off, so the wait is what `ChangeMessageVisibility` says.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// How fast waits grow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Backoff {
    /// It passes: 4^n seconds, 5 minutes at most. The sender's later messages wait too.
    Passing,
    /// Somebody must act first: a quarter of an hour.
    Operator,
    /// Rows, for which no person waits: 4^n seconds, a quarter of an hour at most.
    Rows,
}

const QUARTER_OF_AN_HOUR: u64 = 15 * 60;

impl Backoff {
    /// The wait after the `attempt`th failure (the first is 1) of the message with this id.
    ///
    /// Half of it is fixed and half depends on message and attempt, so that messages which failed together
    /// do not come back together.
    #[must_use]
    pub fn delay(self, message_id: &str, attempt: u32) -> Duration {
        let grown = 4_u64.saturating_pow(attempt.clamp(1, 16));
        let seconds = match self {
            Self::Passing => grown.min(5 * 60),
            Self::Operator => QUARTER_OF_AN_HOUR,
            Self::Rows => grown.min(QUARTER_OF_AN_HOUR),
        };
        let mut hasher = DefaultHasher::new();
        (message_id, attempt).hash(&mut hasher);
        // `ChangeMessageVisibility` takes whole seconds.
        Duration::from_secs(seconds.div_ceil(2) + hasher.finish() % (seconds / 2 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn waits_grow_up_to_their_limit_and_are_spread_over_half_of_it(id: String, attempt in 0u32..2000) {
            for (backoff, limit) in [(Backoff::Passing, 300), (Backoff::Operator, 900), (Backoff::Rows, 900)] {
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
    fn messages_that_failed_together_do_not_come_back_together() {
        let delays: std::collections::HashSet<_> =
            (0..100).map(|n| Backoff::Passing.delay(&n.to_string(), 4)).collect();
        assert!(delays.len() > 20, "{delays:?}");
    }
}
