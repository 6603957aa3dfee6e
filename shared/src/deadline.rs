//! How long an invocation may still take.

use std::time::{Duration, SystemTime};

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

/// When work must be over. It is handed down to everything that waits for something, so that all of an invocation is
/// inside one budget.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// As long as it takes.
    pub const NONE: Self = Self(None);

    /// This time. One that has passed already is none: cargo-lambda sends one in 1970.
    #[must_use]
    pub fn at(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::now()).ok().and_then(|left| Instant::now().checked_add(left)))
    }

    /// This long from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self(Instant::now().checked_add(time))
    }

    /// Earlier by `reserve`, which is kept for what must happen afterwards, but by no more than half of the time left.
    #[must_use]
    pub fn keeping(self, reserve: Duration) -> Self {
        let Some(left) = self.left() else { return self };
        Self::after(left - reserve.min(left / 2))
    }

    /// The earlier of the two.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self(self.0.into_iter().chain(other.0).min())
    }

    /// How much time is left; `None` without a deadline.
    #[must_use]
    pub fn left(self) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether this much time is left.
    #[must_use]
    pub fn allows(self, time: Duration) -> bool {
        self.left().is_none_or(|left| left >= time)
    }

    /// Runs `work` for `most` at most, and not beyond the deadline. Work that never waits is done however late it is.
    ///
    /// # Errors
    /// When it takes longer; `work` is dropped then.
    pub async fn run<T>(self, most: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        timeout(self.left().map_or(most, |left| left.min(most)), work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_deadline_in_the_past_is_none() {
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
