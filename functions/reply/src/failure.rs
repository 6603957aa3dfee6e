//! Reasons to return a message to its queue, and their backoff.

use std::time::Duration;

use shared::lambda::counter::Counter;
use shared::meta::envelope::UnreadableEnvelope;

use crate::graph::{Class, GraphError};
use crate::history::RecordError;
use crate::queues::QueueError;
use crate::responder;
use crate::retry::Backoff;
use crate::users::LookupError;

/// The reason why a message must be redelivered.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The envelope is unreadable: another version wrote it, or another program.
    #[error(transparent)]
    Envelope(#[from] UnreadableEnvelope),
    /// The handler panicked.
    #[error("the handler panicked")]
    Panic,
    /// The reply was not sent, and a retry may send it.
    #[error("the reply was not sent: {0}")]
    NotSent(GraphError),
    /// The responder gave no reply yet.
    #[error("no reply yet: {0}")]
    NoAnswer(responder::NoAnswer),
    /// The message was answered, and neither the database nor the record queue accepted its rows.
    #[error("rows neither written nor queued: {0}")]
    Unrecorded(QueueError),
    /// Nothing was sent, and neither the database nor the record queue accepts rows.
    #[error("nothing sent, and its rows could be neither written nor queued: {0}")]
    Unrecordable(QueueError),
    /// The user of a record task could not be looked up.
    #[error("rows not written: {0}")]
    Lookup(#[from] LookupError),
    /// The database refused the rows of a record task.
    #[error("rows not written: {0}")]
    Rows(#[from] RecordError),
    /// The database refused an identity change. The user's messages wait for it in the same message group.
    #[error("change of number or user id not applied: {0}")]
    Identity(RecordError),
    /// A step of linking was not confirmed by the database.
    #[error("code or tap not processed: {0}")]
    Link(LookupError),
}

impl Failure {
    /// Returns the backoff before the redelivery.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        match self {
            // The reply was sent, or may have been.
            Self::NotSent(GraphError::Lost) | Self::Unrecorded(_) | Self::Panic => Backoff::Lost,
            Self::NotSent(error) => match error.class() {
                Class::Account | Class::Number | Class::SlowDown => Backoff::Operator,
                Class::Transient | Class::Unclear | Class::Permanent => Backoff::Transient,
            },
            Self::Lookup(_) | Self::Rows(_) | Self::Identity(_) => Backoff::Rows,
            Self::Envelope(_) | Self::NoAnswer(_) | Self::Unrecordable(_) | Self::Link(_) => {
                Backoff::Transient
            }
        }
    }

    /// Returns the delay before the redelivery after so many attempts at the message with this id.
    #[must_use]
    pub fn delay(&self, message_id: &str, tries: u32) -> Duration {
        match self {
            Self::NoAnswer(responder::NoAnswer { wait: Some(wait), .. }) => *wait,
            failure => failure.backoff().delay(message_id, tries),
        }
    }

    /// Returns whether a retry would most likely fail in the same way.
    #[must_use]
    pub fn is_poison(&self) -> bool {
        matches!(self, Self::Envelope(_) | Self::Panic)
    }

    /// Returns whether neither a retry nor an operator can repair it, so that the message is dead-lettered at once.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Rows(cause) | Self::Identity(cause) => cause.is_permanent(),
            Self::Link(LookupError::Supabase(cause)) => cause.is_about_values(),
            _ => false,
        }
    }

    /// Returns whether the responder asked for the retry, such as a language model whose server is busy: new code is not the
    /// cause.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        matches!(self, Self::NoAnswer(responder::NoAnswer { wait: Some(_), .. }))
    }

    /// Returns the counter for this failure.
    #[must_use]
    pub fn counter(&self) -> Counter {
        match self {
            Self::NotSent(error) => match error.class() {
                Class::Account | Class::Number => Counter::GraphAccountErrors,
                Class::SlowDown => Counter::GraphSlowDownErrors,
                Class::Transient | Class::Unclear | Class::Permanent => Counter::GraphPassingErrors,
            },
            Self::Envelope(_) => Counter::UnreadableEnvelopes,
            Self::Panic => Counter::Panics,
            Self::NoAnswer(_) => Counter::MissingAnswers,
            Self::Unrecorded(_) | Self::Unrecordable(_) => Counter::UnrecordedMessages,
            Self::Lookup(_) | Self::Rows(_) => Counter::WaitingRecords,
            Self::Identity(_) => Counter::WaitingIdentities,
            Self::Link(_) => Counter::WaitingLinks,
        }
    }
}
