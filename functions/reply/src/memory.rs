//! What a process remembers from one invocation to the next. All of it is bounded, and may be lost at any time.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::sender::{PhoneNumber, Sender, UserId};
use tokio::time::Instant;

use crate::graph::PhoneNumberId;

/// Answers to one sender from one business number within [`WINDOW`], each to a message written after the one before,
/// after which the sender is taken for an automatic correspondent that answers each answer.
pub const TURNS: usize = 30;

/// See [`TURNS`].
pub const WINDOW: Duration = Duration::from_secs(5 * 60);

/// Senders that are remembered at most, of whom those that were answered last are kept.
const SENDERS: usize = 500;

/// Business numbers that are remembered at most.
const NUMBERS: usize = 100;

/// What a process remembers.
#[derive(Debug, Default)]
pub struct Memory {
    /// With whom answers were exchanged.
    pub conversations: Conversations,
    /// From which business numbers answers were sent.
    pub numbers: WorkingNumbers,
}

/// The conversations that had an answer lately.
#[derive(Debug, Default)]
pub struct Conversations {
    /// Hashes are of no use outside this process.
    hashes: RandomState,
    latest: Mutex<VecDeque<Conversation>>,
}

/// Business numbers that this process has sent an answer from.
#[derive(Debug, Default)]
pub struct WorkingNumbers(Mutex<HashSet<PhoneNumberId>>);

/// Which conversation it is: a hash of the business number and the sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key(u64);

/// Turns of a sender: messages that were written after the answer of the turn before. The last [`TURNS`] at most.
#[derive(Debug)]
struct Conversation {
    key: Key,
    turns: VecDeque<Instant>,
    /// When the answer of the last turn began to be sent.
    answered_at: Option<DateTime<Utc>>,
}

impl WorkingNumbers {
    /// An answer was sent from this number.
    pub fn add(&self, number: &PhoneNumberId) {
        let mut numbers = lock(&self.0);
        if numbers.len() < NUMBERS && !numbers.contains(number) {
            numbers.insert(number.clone());
        }
    }

    /// Whether this process has sent from this number.
    #[must_use]
    pub fn contains(&self, number: &PhoneNumberId) -> bool {
        lock(&self.0).contains(number)
    }
}

impl Conversations {
    /// The conversation of a business number and a sender.
    #[must_use]
    pub fn key(&self, number: &PhoneNumberId, sender: &Sender) -> Key {
        // By the user id before the number, as message groups are.
        let id = sender.user_id().map(UserId::as_str).or_else(|| sender.number().map(PhoneNumber::digits));
        Key(self.hashes.hash_one((number, id)))
    }

    /// Whether this process has answered so often within so short a time that the sender must be a machine.
    #[must_use]
    pub fn is_loop(&self, key: Key) -> bool {
        let conversations = lock(&self.latest);
        let turns =
            conversations.iter().find(|conversation| conversation.key == key).map(|found| &found.turns);
        turns.is_some_and(|turns| {
            turns.len() >= TURNS && turns.front().is_some_and(|first| first.elapsed() < WINDOW)
        })
    }

    /// A message that was written at `sent_at`, to the second, got an answer whose sending began at `answered_at`, or
    /// none because of its sender's rate: silence lasts until the rate falls.
    ///
    /// What was written before the answer of the last turn belongs to that turn: many messages at once are no loop, and
    /// loops side by side count as one.
    pub fn turn(&self, key: Key, sent_at: DateTime<Utc>, answered_at: Option<DateTime<Utc>>) {
        let mut conversations = lock(&self.latest);
        let known = conversations.iter().position(|conversation| conversation.key == key);
        let known = known.and_then(|position| conversations.remove(position));
        let mut conversation =
            known.unwrap_or_else(|| Conversation { key, turns: VecDeque::new(), answered_at: None });
        if conversation.answered_at.is_none_or(|last| last - TimeDelta::seconds(1) < sent_at) {
            if conversation.turns.len() >= TURNS {
                conversation.turns.pop_front();
            }
            conversation.turns.push_back(Instant::now());
            conversation.answered_at = answered_at.or(conversation.answered_at);
        }
        if conversations.len() >= SENDERS {
            conversations.pop_front();
        }
        conversations.push_back(conversation);
    }
}

fn lock<T>(memory: &Mutex<T>) -> MutexGuard<'_, T> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn key(memory: &Conversations, sender: &str) -> Key {
        let number = "106540352242922".parse().expect("an id");
        memory.key(&number, &Sender::parse(sender).expect("a sender"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_noticed_and_forgotten_when_the_rate_falls() {
        let memory = Conversations::default();
        let (machine, person) = (key(&memory, "16505551234"), key(&memory, "US.1349"));
        for _ in 0..TURNS {
            assert!(!memory.is_loop(machine));
            memory.turn(machine, Utc::now(), None);
            advance(Duration::from_secs(5)).await;
        }
        assert!(memory.is_loop(machine) && !memory.is_loop(person));
        // It goes on writing: silence lasts.
        for _ in 0..100 {
            assert!(memory.is_loop(machine));
            memory.turn(machine, Utc::now(), None);
            advance(Duration::from_secs(9)).await;
        }
        advance(WINDOW).await;
        assert!(!memory.is_loop(machine));
    }

    #[tokio::test(start_paused = true)]
    async fn loops_side_by_side_are_noticed() {
        let memory = Conversations::default();
        let machine = key(&memory, "16505551234");
        let start = Utc::now();
        let at = |second: i64| start + TimeDelta::seconds(second);
        // Twelve messages wait at any time, one is answered each second, and each answer is answered at once.
        let answered = (0..1000).find(|second| {
            memory.turn(machine, at(second - 12), Some(at(*second)));
            memory.is_loop(machine)
        });
        assert!(answered.is_some_and(|answered| answered < 13 * TURNS as i64), "{answered:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn somebody_who_writes_every_eleven_seconds_is_no_loop() {
        let memory = Conversations::default();
        let person = key(&memory, "16505551234");
        for _ in 0..1000 {
            assert!(!memory.is_loop(person));
            memory.turn(person, Utc::now(), None);
            advance(Duration::from_secs(11)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_messages_at_once_are_no_loop() {
        let memory = Conversations::default();
        let person = key(&memory, "16505551234");
        let sent_at = Utc::now();
        for second in 1..=100 {
            assert!(!memory.is_loop(person));
            memory.turn(person, sent_at, Some(sent_at + TimeDelta::seconds(second + 1)));
        }
    }

    #[test]
    fn memory_is_bounded_and_keeps_who_was_answered_last() {
        let memory = Conversations::default();
        let machine = key(&memory, "US.0");
        for other in 0..3 * SENDERS {
            memory.turn(machine, Utc::now(), None);
            memory.turn(key(&memory, &format!("US.9{other}")), Utc::now(), None);
        }
        let conversations = lock(&memory.latest);
        assert_eq!(conversations.len(), SENDERS);
        assert!(conversations.iter().all(|conversation| conversation.turns.len() <= TURNS));
        drop(conversations);
        assert!(memory.is_loop(machine));
        let numbers = WorkingNumbers::default();
        for number in 0..3 * NUMBERS {
            numbers.add(&number.to_string().parse().expect("an id"));
        }
        assert_eq!(lock(&numbers.0).len(), NUMBERS);
        assert!(!format!("{memory:?}").contains("US."));
    }
}
