//! Connections that Meta may have closed while they were idle.
//!
//! A send has no idempotency key, so one that may have been taken must count as sent perhaps ([`GraphError::Lost`]). One
//! that met a closed connection was not taken: the peer's kernel answers it with a reset, and no program reads it. That
//! it was closed *before* is known only from three signs together: the connection was kept from an earlier request, it
//! carried nothing for longer than a peer would keep it open at least, and it broke within a round trip, before an answer
//! began. Such a request is sent again at once, as browsers do it. A front end of Meta's that takes the request after such
//! a pause and dies within the same second, without a byte, is not told apart: then the answer goes out twice.
//!
//! Source: RFC 9110, section 9.2.2 (“some means to detect that the original request was never applied”).
//!
//! [`GraphError::Lost`]: super::GraphError::Lost

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::Utc;

/// Pauses after which a peer may have closed a connection. Of the defaults in use that of Node.js is the shortest.
/// Source: `server.keepAliveTimeout`, Node.js documentation.
pub const SHORTEST_IDLE: Duration = Duration::from_secs(5);

/// How long ago the peer answered.
///
/// By the wall clock, which goes on while the process is frozen. With several connections this one's pause may be
/// longer, never shorter than said.
#[derive(Clone, Debug)]
pub(super) struct Idle {
    long: Duration,
    /// Milliseconds since 1970.
    answered: Arc<AtomicI64>,
}

impl Idle {
    /// Longer than `long` is long.
    pub(super) fn longer_than(long: Duration) -> Self {
        // No answer yet: no connection was kept either.
        Self { long, answered: Arc::new(AtomicI64::new(i64::MAX)) }
    }

    /// The peer has answered.
    pub(super) fn ends(&self) {
        self.answered.store(Utc::now().timestamp_millis(), Ordering::Relaxed);
    }

    /// Whether its last answer is long ago.
    pub(super) fn is_long(&self) -> bool {
        let idle = Utc::now().timestamp_millis().saturating_sub(self.answered.load(Ordering::Relaxed));
        u64::try_from(idle).is_ok_and(|idle| Duration::from_millis(idle) >= self.long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_answered_or_just_now_is_not_idle() {
        let idle = Idle::longer_than(SHORTEST_IDLE);
        assert!(!idle.is_long());
        idle.ends();
        assert!(!idle.is_long());
        idle.answered.fetch_sub(5_000, Ordering::Relaxed);
        assert!(idle.is_long());
        // A clock that was set back.
        idle.answered.fetch_add(3_600_000, Ordering::Relaxed);
        assert!(!idle.is_long());
    }
}
