//! The outcome of each handling of a turn, to tell expected second answers from violations.

use std::collections::{BTreeMap, BTreeSet};

use reply::history::{notice_id, row_id};
use shared::meta::wamid::MessageKey;
use shared::supabase::rows::Role;
use uuid::Uuid;

use crate::model::turns::StoredAnswer;

/// All attempts to answer, in order of their start.
#[derive(Debug, Default)]
pub struct Attempts {
    /// The attempts.
    pub all: Vec<Attempt>,
    /// Messages of each invocation, in order of receipt.
    holdings: BTreeMap<u64, Vec<Holding>>,
}

/// A message, or a record task, that an invocation received.
#[derive(Clone, Debug)]
pub struct Holding {
    /// Wamid of the message.
    pub wamid: String,
    /// SQS message id of the delivery.
    pub message_id: String,
    /// Number of deliveries so far, including this one.
    pub receive_count: u32,
    /// Wamids of the turn in a record task.
    pub turn: Vec<String>,
    /// The latest attempt at it.
    pub attempt: Option<usize>,
}

/// One handling of the messages of a turn, or of one delivery.
#[derive(Debug)]
pub struct Attempt {
    /// The messages, oldest first.
    pub messages: Vec<Member>,
    /// Wamids of those that are answered together, as far as it is known.
    pub asked: Vec<String>,
    /// Wamids of all messages that its invocation received.
    pub received: BTreeSet<String>,
    /// Whether it is at a record task.
    pub is_task: bool,
    /// Start of the lookups.
    pub at: u64,
    /// Start of the first send.
    pub sent_at: Option<u64>,
    /// Whether it queried the database for the rows.
    pub queried: bool,
    /// Whether its invocation asked the record queue for a response before it answered.
    pub checked_queue: bool,
    /// The lookup of statuses.
    pub statuses: Lookup<BTreeSet<String>>,
    /// The lookup of stored answers.
    pub stored_answers: Lookup<BTreeMap<Uuid, StoredAnswer>>,
    /// The text of its answer.
    pub words: Option<String>,
    /// Texts of its reply that it sent.
    pub bodies: Vec<String>,
    /// Whether the responder decided to be silent.
    pub is_silent: bool,
    /// Time that the language model took for it, in milliseconds.
    pub model_ms: u64,
    /// Whether the database confirmed that the text was stored; `None` if it was not to be stored.
    pub kept: Option<bool>,
    /// Whether it got permission to send the registration text; `None` if it did not ask for it.
    pub registration: Option<bool>,
    /// Whether the response to a send was lost.
    pub lost: bool,
    /// Whether it was rejected permanently.
    pub rejected_permanently: bool,
    /// Location of the rows, as far as the function knows.
    pub stored: Stored,
    /// Tasks that the record queue accepted without a confirmation.
    pub unconfirmed_tasks: u32,
}

/// A message in an attempt.
#[derive(Debug)]
pub struct Member {
    /// Wamid of the message.
    pub wamid: String,
    /// SQS message id of the delivery.
    pub message_id: String,
    /// Number of deliveries so far, including this one.
    pub receive_count: u32,
    /// The database's response about its row; `None` without a response.
    pub response: Option<bool>,
    /// Whether the row existed when the query reached the database.
    pub row_there: bool,
    /// How the attempt ended for it.
    pub end: End,
}

/// A lookup, and what there was to be found when it reached the database.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Lookup<T> {
    /// The database was not queried.
    #[default]
    Skipped,
    /// There was no response.
    Unanswered,
    /// The database responded.
    Answered(T),
}

/// Location of the rows, as far as the function knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stored {
    /// Neither confirmed nor rejected yet.
    Unknown,
    /// Confirmed by the database.
    Rows,
    /// Task confirmed by the record queue.
    Task,
    /// Confirmed by neither.
    Neither,
}

/// End of an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Not ended yet, or ended with its process.
    Open,
    /// The process crashed, or timed out.
    Died,
    /// Handled, and deleted from the queue.
    Deleted,
    /// Handled, and not deleted.
    Undeleted,
    /// Returned to the queue.
    Returned,
}

impl Holding {
    /// A received message; for a record task, with the wamids of its turn.
    #[must_use]
    pub fn new(wamid: String, message_id: String, receive_count: u32, turn: Vec<String>) -> Self {
        Self { wamid, message_id, receive_count, turn, attempt: None }
    }
}

impl Member {
    /// Whether the message was handled, and is not returned.
    #[must_use]
    pub fn is_handled(&self) -> bool {
        matches!(self.end, End::Deleted | End::Undeleted)
    }
}

impl<T> Lookup<T> {
    /// The content of a response.
    #[must_use]
    pub fn answer(&self) -> Option<&T> {
        match self {
            Self::Answered(found) => Some(found),
            Self::Skipped | Self::Unanswered => None,
        }
    }
}

impl Attempt {
    /// Its message with this wamid.
    #[must_use]
    pub fn member(&self, wamid: &str) -> Option<&Member> {
        self.messages.iter().find(|member| member.wamid == wamid)
    }

    /// Its message with this wamid, or, of a record task, the task.
    #[must_use]
    pub fn of(&self, wamid: &str) -> Option<&Member> {
        self.member(wamid).or_else(|| self.messages.first().filter(|_| self.is_task))
    }

    /// Wamids of the messages that an answer to the message with this wamid answers, as far as it is known.
    #[must_use]
    pub fn turn(&self, last: &str) -> Vec<String> {
        if !self.asked.is_empty() {
            return self.asked.clone();
        }
        let members = self.messages.iter();
        let end = members.clone().position(|member| member.wamid == last).map_or(0, |position| position + 1);
        let new = members.take(end).filter(|member| member.response != Some(true));
        new.map(|member| member.wamid.clone()).collect()
    }
}

/// Ids of the row of a message or its reply; of the reply, also of a notice in its place.
fn row_ids(wamid: &str, role: &Role) -> [Uuid; 2] {
    let key = MessageKey::from(wamid);
    let row = row_id(&key, role);
    [row, if *role == Role::Assistant { notice_id(&key) } else { row }]
}

impl Attempts {
    /// Records that an invocation receives a message.
    pub fn receive(&mut self, invocation: u64, holding: Holding) {
        self.holdings.entry(invocation).or_default().push(holding);
    }

    /// Wamids of the messages of an invocation whose rows have these ids.
    #[must_use]
    pub fn named(&self, invocation: u64, ids: &[Uuid], role: &Role) -> Vec<String> {
        let holdings = self.holdings.get(&invocation).into_iter().flatten();
        let wamids: BTreeMap<Uuid, &String> =
            holdings.flat_map(|held| row_ids(&held.wamid, role).map(|id| (id, &held.wamid))).collect();
        ids.iter().filter_map(|id| wamids.get(id).map(|wamid| (*wamid).clone())).collect()
    }

    /// Records that an invocation checks for an earlier answer to these messages.
    pub fn begin(&mut self, invocation: u64, wamids: &[String], at: u64) -> Option<usize> {
        let number = self.all.len();
        let (mut messages, mut asked) = (Vec::new(), Vec::new());
        for wamid in wamids {
            let holdings = self.holdings.get_mut(&invocation)?;
            let mut of_message: Vec<_> = holdings.iter_mut().filter(|held| held.wamid == *wamid).collect();
            // Each record task is an attempt of its own. A copy of a message is never looked up, but the rest of a turn is
            // again, after an attempt that answered the first messages.
            let is_next = |held: &&mut Holding| !held.turn.is_empty() && held.attempt.is_none();
            let next = of_message.iter().position(is_next).unwrap_or_default();
            let Some(holding) = of_message.get_mut(next) else { continue };
            if let Some(before) = holding.attempt.replace(number).and_then(|before| self.all.get_mut(before))
            {
                before.messages.retain(|member| member.message_id != holding.message_id);
            }
            asked.clone_from(&holding.turn);
            messages.push(Member {
                wamid: wamid.clone(),
                message_id: holding.message_id.clone(),
                receive_count: holding.receive_count,
                response: None,
                row_there: false,
                end: End::Open,
            });
        }
        if messages.is_empty() {
            return None;
        }
        let received = self.holdings.get(&invocation).into_iter().flatten();
        let received = received.map(|holding| holding.wamid.clone()).collect();
        self.all.push(Attempt {
            messages,
            received,
            is_task: !asked.is_empty(),
            asked,
            at,
            sent_at: None,
            queried: false,
            checked_queue: false,
            statuses: Lookup::Skipped,
            stored_answers: Lookup::Skipped,
            words: None,
            bodies: Vec::new(),
            is_silent: false,
            model_ms: 0,
            kept: None,
            registration: None,
            lost: false,
            rejected_permanently: false,
            stored: Stored::Unknown,
            unconfirmed_tasks: 0,
        });
        Some(number)
    }

    /// The latest attempt of an invocation at a message.
    #[must_use]
    pub fn current(&self, invocation: u64, wamid: &str) -> Option<usize> {
        let holdings = self.holdings.get(&invocation)?.iter().filter(|holding| holding.wamid == wamid);
        holdings.filter_map(|holding| holding.attempt).max()
    }

    /// Mutable variant of [`Attempts::current`].
    pub fn current_mut(&mut self, invocation: u64, wamid: &str) -> Option<&mut Attempt> {
        let attempt = self.current(invocation, wamid)?;
        self.all.get_mut(attempt)
    }

    /// The attempt with this number.
    pub fn get_mut(&mut self, attempt: Option<usize>) -> Option<&mut Attempt> {
        self.all.get_mut(attempt?)
    }

    /// Notes that an invocation asks the record queue for a response.
    pub fn check_queue(&mut self, invocation: u64) {
        for attempt in self.holdings.get(&invocation).into_iter().flatten().filter_map(|held| held.attempt) {
            if let Some(attempt) = self.all.get_mut(attempt) {
                attempt.checked_queue = true;
            }
        }
    }

    /// The attempts at a message, with their numbers.
    #[must_use]
    pub fn of<'a>(
        &'a self,
        wamid: &'a str,
    ) -> impl DoubleEndedIterator<Item = (usize, &'a Attempt, &'a Member)> {
        let all = self.all.iter().enumerate();
        all.filter_map(move |(number, attempt)| Some((number, attempt, attempt.member(wamid)?)))
    }

    /// Records the end of an invocation, and returns its messages.
    pub fn finish(&mut self, invocation: u64, end: impl Fn(&str) -> End) -> Vec<Holding> {
        let holdings = self.holdings.remove(&invocation).unwrap_or_default();
        for holding in &holdings {
            let attempt = holding.attempt.and_then(|attempt| self.all.get_mut(attempt));
            let mut members = attempt.into_iter().flat_map(|attempt| &mut attempt.messages);
            if let Some(member) = members.find(|member| member.message_id == holding.message_id) {
                member.end = end(&holding.message_id);
            }
        }
        holdings
    }
}
