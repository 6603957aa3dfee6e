//! Fault injection, for tests of a client's error handling.

use std::collections::{HashMap, VecDeque};

use crate::error::SqsError;
use crate::protocol::Action;

/// Kind of failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503, not performed.
    Unavailable,
    /// Too many requests, not performed.
    Throttled,
    /// Performed, with a 500 response: the client cannot know the outcome.
    AnswerLost,
    /// The entries at these positions of a batch fail with a service error, the others are performed.
    Entries(Vec<usize>),
}

/// Scheduled faults by action.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next: HashMap<Action, VecDeque<Fault>>,
    /// Faults of every call without a scheduled one.
    always: HashMap<Action, Fault>,
}

impl Faults {
    pub(crate) fn add(&mut self, action: Action, times: usize, fault: &Fault) {
        self.next.entry(action).or_default().extend(std::iter::repeat_n(fault.clone(), times));
    }

    pub(crate) fn set_always(&mut self, action: Action, fault: Option<Fault>) {
        match fault {
            Some(fault) => self.always.insert(action, fault),
            None => self.always.remove(&action),
        };
    }

    pub(crate) fn take(&mut self, action: Action) -> Option<Fault> {
        let next = self.next.get_mut(&action).and_then(VecDeque::pop_front);
        next.or_else(|| self.always.get(&action).cloned())
    }

    pub(crate) fn clear(&mut self) {
        self.next.clear();
        self.always.clear();
    }
}

impl Fault {
    /// The error response of a call that is not performed.
    pub(crate) fn instead(&self) -> Option<SqsError> {
        match self {
            Self::Unavailable => Some(SqsError::ServiceUnavailable),
            Self::Throttled => Some(SqsError::RequestThrottled),
            Self::AnswerLost | Self::Entries(_) => None,
        }
    }

    /// The error of one entry of a batch.
    pub(crate) fn for_entry(&self, position: usize) -> Option<SqsError> {
        match self {
            Self::Entries(positions) if positions.contains(&position) => Some(SqsError::InternalError),
            _ => None,
        }
    }
}
