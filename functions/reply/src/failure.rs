//! Why a message goes back to its queue, and for how long.

use shared::counter::Counter;
use shared::envelope::UnreadableEnvelope;

use crate::graph::{Class, GraphError};
use crate::history::RecordError;
use crate::queues::QueueError;
use crate::retry::Backoff;
use crate::users::LookupError;

/// Why a message must be redelivered.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Another version's message, or not one of ours.
    #[error(transparent)]
    Envelope(#[from] UnreadableEnvelope),
    /// Handling it panicked.
    #[error("handling it panicked")]
    Panic,
    /// The answer was not sent, and may be later.
    #[error("the answer was not sent: {0}")]
    NotSent(GraphError),
    /// The responder has no answer yet.
    #[error("no answer yet: {0}")]
    NoAnswer(String),
    /// It was answered, and neither the database nor the record queue took the rows.
    #[error("the rows are nowhere yet: {0}")]
    Unrecorded(QueueError),
    /// A record task whose user cannot be looked up.
    #[error("rows not written: {0}")]
    Lookup(#[from] LookupError),
    /// A record task whose rows the database does not take.
    #[error("rows not written: {0}")]
    Rows(#[from] RecordError),
    /// Somebody has another number or user id, and the database does not take it. Their messages wait behind it.
    #[error("change of number or user id not applied: {0}")]
    Identity(RecordError),
}

impl Failure {
    /// How long to wait.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        match self {
            Self::NotSent(error) => match error.class() {
                Class::Account | Class::Number | Class::SlowDown => Backoff::Operator,
                Class::Passing | Class::Unclear | Class::Final => Backoff::Passing,
            },
            Self::Lookup(_) | Self::Rows(_) | Self::Identity(_) => Backoff::Rows,
            Self::Envelope(_) | Self::Panic | Self::NoAnswer(_) | Self::Unrecorded(_) => Backoff::Passing,
        }
    }

    /// Whether trying again would most likely end in the same way.
    #[must_use]
    pub fn is_poison(&self) -> bool {
        matches!(self, Self::Envelope(_) | Self::Panic)
    }

    /// Whether neither a retry nor an operator would change it: a dead letter at once.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Rows(cause) | Self::Identity(cause) if cause.is_permanent())
    }

    /// What is counted.
    #[must_use]
    pub fn counter(&self) -> Counter {
        match self {
            Self::NotSent(error) => match error.class() {
                Class::Account | Class::Number => Counter::GraphAccountErrors,
                Class::SlowDown => Counter::GraphSlowDownErrors,
                Class::Passing | Class::Unclear | Class::Final => Counter::GraphPassingErrors,
            },
            Self::Envelope(_) => Counter::UnreadableEnvelopes,
            Self::Panic => Counter::Panics,
            Self::NoAnswer(_) => Counter::MissingAnswers,
            Self::Unrecorded(_) => Counter::UnrecordedMessages,
            Self::Lookup(_) | Self::Rows(_) => Counter::WaitingRecords,
            Self::Identity(_) => Counter::WaitingIdentities,
        }
    }
}
