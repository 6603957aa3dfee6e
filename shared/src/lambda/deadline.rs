//! The deadline of an invocation.

use std::time::{Duration, SystemTime};

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

/// The time by which work must end. It is passed to every operation that waits, so that the whole invocation stays
/// within one time budget.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No deadline.
    pub const NONE: Self = Self(None);

    /// Returns a deadline at `time`. A time in the past means no deadline: cargo-lambda sends one in 1970.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::now()).ok().and_then(|left| Instant::now().checked_add(left)))
    }

    /// Returns a deadline after `time` from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    /// Returns a deadline earlier by `reserve`, the time for work that must follow, but by at most half of the time
    /// left.
    #[must_use]
    pub fn keeping(self, reserve: Duration) -> Self {
        let Some(left) = self.left() else { return self };
        Self::after(left - reserve.min(left / 2))
    }

    /// Returns the earlier of two deadlines.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self(self.0.into_iter().chain(other.0).min())
    }

    /// Returns the time left; `None` without a deadline.
    #[must_use]
    pub fn left(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether at least `time` is left.
    #[must_use]
    pub fn allows(self, time: Duration) -> bool {
        self.left().is_none_or(|left| left >= time)
    }

    /// Runs `work` for at most `most`, and not beyond the deadline. Work that never waits completes even after it.
    ///
    /// # Errors
    /// When `work` takes longer; it is dropped then.
    pub async fn run<T>(self, most: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        timeout(self.left().map_or(most, |left| left.min(most)), work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_deadline_in_the_past_counts_as_absent() {
        assert_eq!(Deadline::at(SystemTime::UNIX_EPOCH), Deadline::NONE);
        assert_eq!(Deadline::at(SystemTime::now() - SECOND), Deadline::NONE);
        let in_a_minute = Deadline::at(SystemTime::now() + 60 * SECOND);
        assert!(in_a_minute.left().is_some_and(|left| (30 * SECOND..=60 * SECOND).contains(&left)));
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_at_its_own_limit_or_at_the_deadline() {
        let start = Instant::now();
        let never = std::future::pending::<()>;
        assert!(Deadline::NONE.run(2 * SECOND, never()).await.is_err());
        assert_eq!(start.elapsed(), 2 * SECOND);
        let deadline = Deadline::after(5 * SECOND);
        assert!(deadline.keeping(SECOND).run(60 * SECOND, never()).await.is_err());
        assert_eq!((start.elapsed(), deadline.left()), (6 * SECOND, Some(SECOND)));
        assert!(
            deadline.allows(SECOND) && !deadline.allows(2 * SECOND) && Deadline::NONE.allows(60 * SECOND)
        );
        assert_eq!(deadline.min(Deadline::NONE), deadline);
        assert_eq!(deadline.min(Deadline::after(SECOND / 2)).left(), Some(SECOND / 2));
        assert_eq!(deadline.keeping(SECOND).left(), Some(SECOND / 2));
        tokio::time::advance(60 * SECOND).await;
        assert_eq!(deadline.run(SECOND, async { 1 }).await.ok(), Some(1), "it did not have to wait");
    }
}
