//! The outcome of each handling of a message, to tell expected duplicate replies from violations.

use std::collections::BTreeMap;

/// All attempts to answer, in order of their start.
#[derive(Debug, Default)]
pub struct Attempts {
    /// The attempts.
    pub all: Vec<Attempt>,
    /// Messages of each invocation, in order of receipt.
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
    /// Wamid of the message.
    pub wamid: String,
    /// SQS message id of the delivery.
    pub message_id: String,
    /// Start of the lookups.
    pub at: u64,
    /// Start of the first send.
    pub sent_at: Option<u64>,
    /// Whether it queried the database for the rows.
    pub queried: bool,
    /// The database's response about the rows; `None` without a response.
    pub response: Option<bool>,
    /// Whether the rows existed when the query reached the database.
    pub rows_there: bool,
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
    /// How the attempt ended.
    pub end: End,
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

impl Attempt {
    /// Whether the message was handled, and is not returned.
    #[must_use]
    pub fn is_handled(&self) -> bool {
        matches!(self.end, End::Deleted | End::Undeleted)
    }
}

impl Attempts {
    /// Records that an invocation receives a message.
    pub fn receive(&mut self, invocation: u64, wamid: &str, message_id: &str) {
        let holding = Holding { wamid: wamid.to_owned(), message_id: message_id.to_owned(), attempt: None };
        self.holdings.entry(invocation).or_default().push(holding);
    }

    /// Records that an invocation checks for an earlier answer.
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
            queried: false,
            response: None,
            rows_there: false,
            registration: None,
            lost: false,
            rejected_permanently: false,
            stored: Stored::Unknown,
            unconfirmed_tasks: 0,
            end: End::Open,
        });
        holding.attempt
    }

    /// The latest attempt of an invocation for a message.
    #[must_use]
    pub fn current(&self, invocation: u64, wamid: &str) -> Option<usize> {
        let mut holdings = self.holdings.get(&invocation)?.iter().rev();
        holdings.find(|holding| holding.wamid == wamid && holding.attempt.is_some())?.attempt
    }

    /// Mutable variant of [`Attempts::current`].
    pub fn current_mut(&mut self, invocation: u64, wamid: &str) -> Option<&mut Attempt> {
        let attempt = self.current(invocation, wamid)?;
        self.all.get_mut(attempt)
    }

    /// Records the end of an invocation, for each of its messages.
    pub fn finish(&mut self, invocation: u64, end: impl Fn(&str) -> End) {
        for holding in self.holdings.remove(&invocation).into_iter().flatten() {
            if let Some(attempt) = holding.attempt.and_then(|attempt| self.all.get_mut(attempt)) {
                attempt.end = end(&holding.message_id);
            }
        }
    }
}
