//! State that a process keeps between invocations. It is bounded in size, and may be lost at any time.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::meta::sender::{PhoneNumber, Sender, UserId};
use shared::meta::wamid::{MessageKey, Wamid};
use tokio::time::Instant;

use crate::graph::PhoneNumberId;
use crate::responder::Answer;

/// The number of turns with one sender from one business number within [`WINDOW`] that counts as a reply loop: the sender
/// seems to be automatic and to react to each reply. A turn is a reply to a message written after the previous one.
pub const TURNS: usize = 30;

/// The time for [`TURNS`].
pub const WINDOW: Duration = Duration::from_secs(5 * 60);

/// The maximum number of remembered conversations. The least recent are evicted first.
const SENDERS: usize = 500;

/// The maximum number of remembered replies. The oldest are evicted first.
const REPLIES: usize = 100;

/// The minimum number of handled messages that are remembered, of which a process remembers at most twice as many.
const HANDLED: usize = 1000;

/// The maximum number of remembered business numbers.
const NUMBERS: usize = 100;

/// State that a process keeps between invocations.
#[derive(Debug, Default)]
pub struct Memory {
    /// Conversations with recent turns.
    pub conversations: RecentConversations,
    /// Business numbers with a successful send.
    pub numbers: WorkingNumbers,
    /// Replies that the database does not have.
    pub replies: UnrecordedReplies,
    /// Messages that need no further handling.
    pub handled: HandledMessages,
}

/// Conversations with recent turns, for the detection of reply loops.
#[derive(Debug, Default)]
pub struct RecentConversations {
    /// Seeded randomly, so that a hash reveals nothing outside this process.
    hashes: RandomState,
    latest: Mutex<VecDeque<Conversation>>,
}

/// Replies that only this process knows: those that it has sent, and whose rows neither the database nor the record queue
/// accepted; and those that it could neither store nor send. Their messages are redelivered, and a retry in the same process
/// must not send the reply again, nor ask the responder for another one.
#[derive(Debug, Default)]
pub struct UnrecordedReplies(Mutex<VecDeque<UnrecordedReply>>);

/// A reply that the database does not have.
#[derive(Clone, Eq, PartialEq)]
pub struct UnrecordedReply {
    /// The key of the last message of the turn.
    pub key: MessageKey,
    /// The whole reply.
    pub answer: Answer,
    /// The number of messages in the turn.
    pub messages: usize,
    /// The wamids of the parts that were sent, from the first.
    pub wamids: Vec<Wamid>,
}

/// Messages that this process has handled: their rows are written or on the record queue, or their sender was sent the
/// registration text. A copy is recognized by them while the database does not respond, or the rows are on their way.
#[derive(Debug, Default)]
pub struct HandledMessages(Mutex<Generations>);

/// The latest keys, and those before.
#[derive(Default)]
struct Generations {
    latest: HashSet<MessageKey>,
    earlier: HashSet<MessageKey>,
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

impl UnrecordedReplies {
    /// Adds a reply, in place of an earlier one to the same turn.
    pub fn add(&self, reply: UnrecordedReply) {
        let mut replies = lock(&self.0);
        replies.retain(|known| known.key != reply.key);
        if replies.len() >= REPLIES {
            replies.pop_front();
        }
        replies.push_back(reply);
    }

    /// Returns the reply to the turn that ends with this message.
    #[must_use]
    pub fn get(&self, key: &MessageKey) -> Option<UnrecordedReply> {
        lock(&self.0).iter().find(|reply| reply.key == *key).cloned()
    }
}

impl HandledMessages {
    /// Adds a message.
    pub fn add(&self, key: &MessageKey) {
        let mut keys = lock(&self.0);
        if keys.latest.len() >= HANDLED {
            keys.earlier = std::mem::take(&mut keys.latest);
        }
        keys.latest.insert(key.clone());
    }

    /// Returns whether a message was handled.
    #[must_use]
    pub fn contains(&self, key: &MessageKey) -> bool {
        let keys = lock(&self.0);
        keys.latest.contains(key) || keys.earlier.contains(key)
    }
}

impl fmt::Debug for Generations {
    /// Omits the keys, which hold phone numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generations").field("latest", &self.latest.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for UnrecordedReply {
    /// Omits the text, which is personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnrecordedReply").field("key", &self.key).finish_non_exhaustive()
    }
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

impl RecentConversations {
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

    fn key(memory: &RecentConversations, sender: &str) -> Key {
        let number = "106540352242922".parse().expect("an id");
        memory.key(&number, &Sender::parse(sender).expect("a sender"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_detected_until_the_rate_falls() {
        let memory = RecentConversations::default();
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
        let memory = RecentConversations::default();
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
        let memory = RecentConversations::default();
        let person = key(&memory, "16505551234");
        for _ in 0..1000 {
            assert!(!memory.is_loop(person));
            memory.add_turn(person, Utc::now(), None);
            advance(Duration::from_secs(11)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_messages_is_not_a_loop() {
        let memory = RecentConversations::default();
        let person = key(&memory, "16505551234");
        let sent_at = Utc::now();
        for second in 1..=100 {
            assert!(!memory.is_loop(person));
            memory.add_turn(person, sent_at, Some(sent_at + TimeDelta::seconds(second + 1)));
        }
    }

    #[test]
    fn an_unrecorded_reply_is_found_and_the_oldest_is_evicted() {
        let replies = UnrecordedReplies::default();
        for number in 0..=REPLIES {
            let key = MessageKey::from(format!("wamid.{number}"));
            replies.add(UnrecordedReply {
                key,
                answer: "a secret".to_owned().into(),
                messages: 1,
                wamids: Vec::new(),
            });
        }
        assert!(!format!("{replies:?}").contains("a secret"));
        let get = |key: &str| replies.get(&key.into()).map(|reply| reply.answer.text);
        assert_eq!(get("wamid.0"), None);
        assert_eq!(get("wamid.1"), Some("a secret".to_owned()));
        replies.add(UnrecordedReply {
            key: "wamid.1".into(),
            answer: "another".to_owned().into(),
            messages: 1,
            wamids: Vec::new(),
        });
        assert_eq!(get("wamid.1"), Some("another".to_owned()));
        assert_eq!(
            get("wamid.2"),
            Some("a secret".to_owned()),
            "nothing is evicted for a reply that is known"
        );
    }

    #[test]
    fn the_latest_handled_messages_are_remembered() {
        let handled = HandledMessages::default();
        let key = |number: usize| MessageKey::from(format!("wamid.{number}"));
        for number in 0..5 * HANDLED {
            assert!(!handled.contains(&key(number)));
            handled.add(&key(number));
            assert!(
                handled.contains(&key(number)) && handled.contains(&key(number.saturating_sub(HANDLED - 1)))
            );
        }
        let keys = lock(&handled.0);
        assert!(keys.latest.len() + keys.earlier.len() <= 2 * HANDLED);
    }

    #[test]
    fn memory_is_bounded_and_evicts_the_least_recent_first() {
        let memory = RecentConversations::default();
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
