//! Detection of connections that Meta may have closed while they were idle.
//!
//! A send has no idempotency key, so a request that may have been processed is reported as possibly sent
//! ([`GraphError::Lost`]). A request on a closed connection was not processed: the peer's kernel responds with a reset,
//! and no program reads it.
//!
//! Only three signs together prove that the connection was closed *before* the request: it was reused from an earlier
//! request, it was idle for longer than the shortest time for which peers keep connections open, and it broke within a
//! round trip, before a response began. Such a request is repeated at once, as in browsers. The signs are the same if a
//! front end of Meta's accepts the request after such a pause and dies within the same second, without a byte: then the
//! reply is sent twice.
//!
//! Source: RFC 9110, section 9.2.2 (“some means to detect that the original request was never applied”).
//!
//! [`GraphError::Lost`]: super::GraphError::Lost

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::Utc;

/// The idle time after which a peer may have closed a connection: the default of Node.js, the shortest in common use.
/// Source: `server.keepAliveTimeout`, Node.js documentation.
pub const SHORTEST_IDLE: Duration = Duration::from_secs(5);

/// The time since the peer's last response.
///
/// Measured by the wall clock, which continues while the process is frozen. It is a lower bound: with several connections,
/// a single one may have been idle for longer.
#[derive(Clone, Debug)]
pub(super) struct Idle {
    limit: Duration,
    /// The time of the last response, in milliseconds since 1970.
    responded_at: Arc<AtomicI64>,
}

impl Idle {
    /// Starts without a response, with `limit` as the idle time after which the peer may have closed a connection.
    pub(super) fn with_limit(limit: Duration) -> Self {
        // Without a response yet, there is no connection to reuse either: never exceeded.
        Self { limit, responded_at: Arc::new(AtomicI64::new(i64::MAX)) }
    }

    /// Resets the idle time, when the peer has responded.
    pub(super) fn reset(&self) {
        self.responded_at.store(Utc::now().timestamp_millis(), Ordering::Relaxed);
    }

    /// Returns whether the idle time has reached its limit.
    pub(super) fn is_exceeded(&self) -> bool {
        let idle = Utc::now().timestamp_millis().saturating_sub(self.responded_at.load(Ordering::Relaxed));
        u64::try_from(idle).is_ok_and(|idle| Duration::from_millis(idle) >= self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_counts_from_the_last_response() {
        let idle = Idle::with_limit(SHORTEST_IDLE);
        assert!(!idle.is_exceeded());
        idle.reset();
        assert!(!idle.is_exceeded());
        idle.responded_at.fetch_sub(5_000, Ordering::Relaxed);
        assert!(idle.is_exceeded());
        // The clock was set back.
        idle.responded_at.fetch_add(3_600_000, Ordering::Relaxed);
        assert!(!idle.is_exceeded());
    }
}
