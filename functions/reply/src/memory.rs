//! State that a process keeps between invocations. It is bounded in size, and may be lost at any time.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::meta::envelope::Exchange;
use shared::meta::sender::{PhoneNumber, Sender, UserId};
use tokio::time::Instant;

use crate::graph::PhoneNumberId;
use crate::incoming::Incoming;

/// The number of turns with one sender from one business number within [`WINDOW`] that counts as a reply loop: the sender
/// seems to be automatic and to react to each reply. A turn is a reply to a message written after the previous one.
pub const TURNS: usize = 30;

/// The time for [`TURNS`].
pub const WINDOW: Duration = Duration::from_secs(5 * 60);

/// The maximum number of remembered conversations. The least recent are evicted first.
const SENDERS: usize = 500;

/// The maximum number of remembered replies that were not recorded.
const UNRECORDED: usize = 100;

/// The maximum number of remembered business numbers.
const NUMBERS: usize = 100;

/// State that a process keeps between invocations.
#[derive(Debug, Default)]
pub struct Memory {
    /// Conversations with recent turns.
    pub conversations: Conversations,
    /// Business numbers with a successful send.
    pub numbers: WorkingNumbers,
    /// Replies that were sent and not recorded.
    pub unrecorded: Unrecorded,
}

/// Replies that this process has sent, and that neither the database nor the record queue accepted. Their messages are
/// redelivered, and must be recorded, not answered again.
#[derive(Default)]
pub struct Unrecorded(Mutex<VecDeque<Exchange>>);

/// Conversations with recent turns, for the detection of reply loops.
#[derive(Debug, Default)]
pub struct Conversations {
    /// Seeded randomly, so that a hash reveals nothing outside this process.
    hashes: RandomState,
    latest: Mutex<VecDeque<Conversation>>,
}

/// Business numbers from which this process has sent a reply.
#[derive(Debug, Default)]
pub struct WorkingNumbers(Mutex<HashSet<PhoneNumberId>>);

/// The key of a conversation: a hash of the business number and the sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key(u64);

/// The last turns of a sender, at most [`TURNS`]. A turn is a message written after the reply of the previous turn.
#[derive(Debug)]
struct Conversation {
    key: Key,
    turns: VecDeque<Instant>,
    /// The time at which sending the reply of the last turn started.
    answered_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for Unrecorded {
    /// Writes the number of replies: their content is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unrecorded({})", lock(&self.0).len())
    }
}

impl Unrecorded {
    /// Adds a reply that was sent. The oldest are evicted first.
    pub fn add(&self, exchange: Exchange) {
        let mut exchanges = lock(&self.0);
        exchanges.retain(|known| known.key != exchange.key);
        if exchanges.len() >= UNRECORDED {
            exchanges.pop_front();
        }
        exchanges.push_back(exchange);
    }

    /// Returns the number of these messages, from the oldest, that such a reply answered.
    #[must_use]
    pub fn answered(&self, messages: &[&Incoming]) -> Option<usize> {
        let exchanges = lock(&self.0);
        let mut lengths = exchanges.iter().map(|known| (known, known.earlier.len() + 1));
        let is_of = |known, length| messages.get(..length).is_some_and(|first| is_of(known, first));
        lengths.find(|(known, length)| is_of(known, *length)).map(|(_, length)| length)
    }

    /// Removes and returns the reply to the turn of these messages.
    pub fn take(&self, turn: &[&Incoming]) -> Option<Exchange> {
        let mut exchanges = lock(&self.0);
        let found = exchanges.iter().position(|known| is_of(known, turn))?;
        exchanges.remove(found)
    }
}

/// Returns whether an exchange has the messages of this turn.
fn is_of(exchange: &Exchange, turn: &[&Incoming]) -> bool {
    let keys = exchange.earlier.iter().map(|asked| &asked.key).chain([&exchange.key]);
    keys.eq(turn.iter().map(|message| &message.key))
}

impl WorkingNumbers {
    /// Adds a number from which a reply was sent.
    pub fn add(&self, number: &PhoneNumberId) {
        let mut numbers = lock(&self.0);
        if numbers.len() < NUMBERS && !numbers.contains(number) {
            numbers.insert(number.clone());
        }
    }

    /// Returns whether this process has sent a reply from this number.
    #[must_use]
    pub fn contains(&self, number: &PhoneNumberId) -> bool {
        lock(&self.0).contains(number)
    }
}

impl Conversations {
    /// Returns the key of the conversation of a business number and a sender.
    #[must_use]
    pub fn key(&self, number: &PhoneNumberId, sender: &Sender) -> Key {
        // By the user id if there is one, else by the number, like message groups.
        let id = sender.user_id().map(UserId::as_str).or_else(|| sender.number().map(PhoneNumber::digits));
        Key(self.hashes.hash_one((number, id)))
    }

    /// Returns whether this process has answered so often within [`WINDOW`] that the sender must be automatic.
    #[must_use]
    pub fn is_loop(&self, key: Key) -> bool {
        let conversations = lock(&self.latest);
        let turns =
            conversations.iter().find(|conversation| conversation.key == key).map(|found| &found.turns);
        turns.is_some_and(|turns| {
            turns.len() >= TURNS && turns.front().is_some_and(|first| first.elapsed() < WINDOW)
        })
    }

    /// Adds a message that was written at `sent_at`, to the second. It got a reply whose send started at `answered_at`,
    /// or none because of its sender's rate: such messages count too, so that silence lasts until the rate falls.
    ///
    /// A message written before the reply of the last turn belongs to that turn, so that a burst of messages is not a
    /// loop, and concurrent loops count as one.
    pub fn add_turn(&self, key: Key, sent_at: DateTime<Utc>, answered_at: Option<DateTime<Utc>>) {
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
    async fn a_loop_is_detected_until_the_rate_falls() {
        let memory = Conversations::default();
        let (machine, person) = (key(&memory, "16505551234"), key(&memory, "US.1349"));
        for _ in 0..TURNS {
            assert!(!memory.is_loop(machine));
            memory.add_turn(machine, Utc::now(), None);
            advance(Duration::from_secs(5)).await;
        }
        assert!(memory.is_loop(machine) && !memory.is_loop(person));
        // The machine continues to write: silence lasts.
        for _ in 0..100 {
            assert!(memory.is_loop(machine));
            memory.add_turn(machine, Utc::now(), None);
            advance(Duration::from_secs(9)).await;
        }
        advance(WINDOW).await;
        assert!(!memory.is_loop(machine));
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_loops_are_detected() {
        let memory = Conversations::default();
        let machine = key(&memory, "16505551234");
        let start = Utc::now();
        let at = |second: i64| start + TimeDelta::seconds(second);
        // Twelve messages wait at any time, one is answered each second, and the machine reacts to each reply at once.
        let answered = (0..1000).find(|second| {
            memory.add_turn(machine, at(second - 12), Some(at(*second)));
            memory.is_loop(machine)
        });
        assert!(answered.is_some_and(|answered| answered < 13 * TURNS as i64), "{answered:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_every_eleven_seconds_is_not_a_loop() {
        let memory = Conversations::default();
        let person = key(&memory, "16505551234");
        for _ in 0..1000 {
            assert!(!memory.is_loop(person));
            memory.add_turn(person, Utc::now(), None);
            advance(Duration::from_secs(11)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_messages_is_not_a_loop() {
        let memory = Conversations::default();
        let person = key(&memory, "16505551234");
        let sent_at = Utc::now();
        for second in 1..=100 {
            assert!(!memory.is_loop(person));
            memory.add_turn(person, sent_at, Some(sent_at + TimeDelta::seconds(second + 1)));
        }
    }

    #[test]
    fn memory_is_bounded_and_evicts_the_least_recent_first() {
        let memory = Conversations::default();
        let machine = key(&memory, "US.0");
        for other in 0..3 * SENDERS {
            memory.add_turn(machine, Utc::now(), None);
            memory.add_turn(key(&memory, &format!("US.9{other}")), Utc::now(), None);
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
