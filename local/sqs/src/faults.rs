//! Failures on demand, for tests of what a client does about them.

use std::collections::{HashMap, VecDeque};

use crate::error::SqsError;
use crate::protocol::Action;

/// How a call fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 503, nothing done.
    Unavailable,
    /// Too many requests, nothing done.
    Throttled,
    /// Everything is done, and then the answer is 500: the client cannot know.
    AnswerLost,
    /// Entries at these positions of a batch are refused (an error of the service's), the others done.
    Entries(Vec<usize>),
}

/// Failures that are still to come, by action.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    next: HashMap<Action, VecDeque<Fault>>,
    /// What every other call meets.
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
    /// The error in place of an answer, when nothing is to be done.
    pub(crate) fn instead(&self) -> Option<SqsError> {
        match self {
            Self::Unavailable => Some(SqsError::ServiceUnavailable),
            Self::Throttled => Some(SqsError::RequestThrottled),
            Self::AnswerLost | Self::Entries(_) => None,
        }
    }

    /// The error for one entry of a batch.
    pub(crate) fn for_entry(&self, position: usize) -> Option<SqsError> {
        match self {
            Self::Entries(positions) if positions.contains(&position) => Some(SqsError::InternalError),
            _ => None,
        }
    }
}
