//! What each handling of a message came to: how a second echo is told from one that must not be.

use std::collections::BTreeMap;

/// All attempts at answering, in the order in which they began.
#[derive(Debug, Default)]
pub struct Attempts {
    /// The attempts.
    pub all: Vec<Attempt>,
    /// What an invocation holds: message ids by wamid, those that were begun first.
    holdings: BTreeMap<u64, Vec<Holding>>,
}

#[derive(Debug)]
struct Holding {
    wamid: String,
    message_id: String,
    attempt: Option<usize>,
}

/// One handling of one delivery of a message.
#[derive(Debug)]
pub struct Attempt {
    /// The message.
    pub wamid: String,
    /// SQS's id of the delivery's message.
    pub message_id: String,
    /// When it began to ask the database.
    pub at: u64,
    /// When it began to send.
    pub sent_at: Option<u64>,
    /// Whether it asked the database for the rows.
    pub asked: bool,
    /// What the database said about the rows; `None` when it said nothing.
    pub said: Option<bool>,
    /// Whether the rows were there when the question reached the database.
    pub rows_there: bool,
    /// Whether the answer of a send was lost.
    pub lost: bool,
    /// Whether it was refused for good.
    pub refused_for_good: bool,
    /// Where the rows went, as far as the function knows.
    pub stored: Stored,
    /// Tasks that the record queue took without the function knowing it.
    pub unconfirmed_tasks: u32,
    /// How it ended.
    pub end: End,
}

/// Where the rows went, as far as the function knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stored {
    /// Nothing was confirmed yet, and nothing refused.
    Unknown,
    /// The database has confirmed them.
    Rows,
    /// The record queue has confirmed the task.
    Task,
    /// Neither has.
    Neither,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Not yet, or with the death of its process.
    Open,
    /// It died, or was cut at its deadline.
    Died,
    /// Done, and deleted from the queue.
    Deleted,
    /// Done, and not deleted.
    Undeleted,
    /// Returned to the queue.
    Returned,
}

impl Attempts {
    /// An invocation receives a message.
    pub fn receive(&mut self, invocation: u64, wamid: &str, message_id: &str) {
        let holding = Holding { wamid: wamid.to_owned(), message_id: message_id.to_owned(), attempt: None };
        self.holdings.entry(invocation).or_default().push(holding);
    }

    /// An invocation asks whether a message was answered before.
    pub fn begin(&mut self, invocation: u64, wamid: &str, at: u64) -> Option<usize> {
        let holdings = self.holdings.get_mut(&invocation)?;
        let holding =
            holdings.iter_mut().find(|holding| holding.wamid == wamid && holding.attempt.is_none())?;
        holding.attempt = Some(self.all.len());
        self.all.push(Attempt {
            wamid: wamid.to_owned(),
            message_id: holding.message_id.clone(),
            at,
            sent_at: None,
            asked: false,
            said: None,
            rows_there: false,
            lost: false,
            refused_for_good: false,
            stored: Stored::Unknown,
            unconfirmed_tasks: 0,
            end: End::Open,
        });
        holding.attempt
    }

    /// The latest attempt of an invocation at a message.
    #[must_use]
    pub fn current(&self, invocation: u64, wamid: &str) -> Option<usize> {
        let mut holdings = self.holdings.get(&invocation)?.iter().rev();
        holdings.find(|holding| holding.wamid == wamid && holding.attempt.is_some())?.attempt
    }

    /// The same, to be changed.
    pub fn current_mut(&mut self, invocation: u64, wamid: &str) -> Option<&mut Attempt> {
        let attempt = self.current(invocation, wamid)?;
        self.all.get_mut(attempt)
    }

    /// An invocation ends: how, for each message.
    pub fn finish(&mut self, invocation: u64, end: impl Fn(&str) -> End) {
        for holding in self.holdings.remove(&invocation).into_iter().flatten() {
            if let Some(attempt) = holding.attempt.and_then(|attempt| self.all.get_mut(attempt)) {
                attempt.end = end(&holding.message_id);
            }
        }
    }
}
