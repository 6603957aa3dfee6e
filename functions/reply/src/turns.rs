//! Turns: the messages of a sender that are answered together.
//!
//! People write several short messages for one thought. With a window, a message younger than the window is returned to
//! its queue until the window of the newest message ends, and the messages that are then received together are a turn.
//! The queue is the timer: while a message is hidden, its message group is locked, and nothing is lost when a process
//! ends.

use std::num::ParseIntError;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::delivery::{Delivery, Source, Work};
use crate::incoming::Incoming;
use crate::linking::Step;
use crate::retry::Backoff;

/// The receives at which a message may be held. Of two consecutive holds, the second ends at least a window after the
/// start of the first, so that five windows have at most ten.
pub const HOLDS: u32 = 10;

/// The windows after its first message at which a turn is answered, although its sender still writes.
const WINDOWS: u32 = 5;

/// The time for which a message waits for further messages of its sender: `REPLY_WINDOW`, in milliseconds. With zero, each
/// message is answered by itself, at once.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Window(Duration);

/// A string that is not a number of milliseconds up to [`Window::MAX`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum WindowError {
    /// Not a number.
    #[error("expected a number of milliseconds: {0}")]
    Number(#[from] ParseIntError),
    /// Too long.
    #[error("expected at most {} milliseconds", Window::MAX.as_millis())]
    TooLong,
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let window = Duration::from_millis(text.parse::<u32>()?.into());
        if window <= Self::MAX { Ok(Self(window)) } else { Err(WindowError::TooLong) }
    }
}

impl Window {
    /// The longest window: a sender waits for it with each message.
    pub const MAX: Duration = Duration::from_secs(30);

    /// No window.
    pub const OFF: Self = Self(Duration::ZERO);

    /// Returns whether messages are not held.
    #[must_use]
    pub fn is_off(self) -> bool {
        self.0.is_zero()
    }

    /// Returns the number of deliveries at the front of a message group that are handled together: a turn, or one.
    ///
    /// A turn is the unbroken run of one sender's messages. It starts with a message that may get a reply; those that get
    /// none, such as reactions, do not end it. In a retry, messages that are received for the first time are left to the
    /// next turn, so that the retry says the same words.
    #[must_use]
    pub fn turn(self, group: &[Delivery], now: DateTime<Utc>) -> usize {
        let Some((first, later)) = group.split_first() else { return 0 };
        let Some(opening) = self.joinable(first).filter(|message| message.content.is_conversation()) else {
            return 1;
        };
        let received_before = group.iter().take_while(|delivery| delivery.receive_count > 1).count();
        let is_retry = self.tries(&group[..received_before], now) > 1;
        // In seconds, as Meta tells it.
        let mut written = opening.sent_at.timestamp();
        let belongs = |delivery: &&Delivery| {
            let is_same = |message: &Incoming| {
                let is_next = message.sent_at.timestamp() >= written;
                written = message.sent_at.timestamp();
                is_next
                    && message.sender == opening.sender
                    && message.phone_number_id == opening.phone_number_id
            };
            self.joinable(delivery).is_some_and(is_same) && !(is_retry && delivery.receive_count == 1)
        };
        1 + later.iter().take_while(belongs).count()
    }

    /// Returns the message of a delivery, if it can be in a turn with others. A late copy cannot: it may have been answered
    /// in another turn.
    fn joinable(self, delivery: &Delivery) -> Option<&Incoming> {
        match &delivery.work {
            Ok(Work::Answer(message))
                if !self.is_off()
                    && delivery.source == Source::Inbound
                    && message.is_ours
                    && message.group_id.is_none()
                    && !message.is_late()
                    && Step::of(message).is_none() =>
            {
                Some(message)
            }
            _ => None,
        }
    }

    /// Returns the time, in whole seconds, for which a turn must still be held; `None` when it is to be answered now.
    #[must_use]
    pub fn hold(self, turn: &[Delivery], now: DateTime<Utc>) -> Option<Duration> {
        let first = turn.first()?;
        self.joinable(first).filter(|message| message.content.is_conversation())?;
        if first.receive_count > HOLDS {
            return None;
        }
        let end = self.end(turn)?;
        let rest = (end - now).to_std().ok().filter(|rest| !rest.is_zero())?;
        // Not longer than a window, even when the clock of the webhook is ahead. `ChangeMessageVisibility` takes whole
        // seconds.
        Some(Duration::from_secs(rest.min(self.0).as_millis().div_ceil(1000) as u64))
    }

    /// Returns the time at which a turn is to be answered.
    fn end(self, turn: &[Delivery]) -> Option<DateTime<Utc>> {
        let newest = turn.iter().filter_map(Delivery::received_at).max()?;
        let oldest = turn.first().and_then(Delivery::received_at)?;
        Some((newest + self.0).min(oldest + self.0 * WINDOWS))
    }

    /// Returns the number of attempts at these deliveries so far, including this one, without the receives at which they
    /// were held.
    ///
    /// SQS counts receives only. Held deliveries were first tried when the window of the newest had ended, and a backoff
    /// followed each attempt: since then no more attempts can have been made than fit between. Of a first receive in the
    /// first half of the message's own window, it is known that it was no attempt, however late the second came.
    #[must_use]
    pub fn tries(self, deliveries: &[Delivery], now: DateTime<Utc>) -> u32 {
        let Some(first) = deliveries.first() else { return 0 };
        let Some(end) = self.end(deliveries).filter(|_| !self.is_off() && first.source == Source::Inbound)
        else {
            return first.receive_count;
        };
        let since = (now - end).to_std().unwrap_or_default();
        let was_held = first
            .first_received_at
            .zip(first.received_at())
            .is_some_and(|(delivered_at, received_at)| delivered_at < received_at + self.0 / 2);
        let most = first.receive_count.saturating_sub(u32::from(was_held));
        let (mut tries, mut waited) = (1, Duration::ZERO);
        while tries < most {
            waited += Backoff::Transient.shortest(tries);
            if waited > since {
                break;
            }
            tries += 1;
        }
        tries
    }

    /// Returns the receives of an inbound message that are not attempts, at most.
    #[must_use]
    pub fn holds(self) -> u32 {
        if self.is_off() { 0 } else { HOLDS }
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
