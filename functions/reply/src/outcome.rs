//! What became of a delivery, as the log says it, and which counter counts it.

use std::borrow::Cow;

use shared::counter::Counter;
use shared::names::UpdateKind;
use uuid::Uuid;

use crate::failure::Failure;

shared::names! {
    /// What became of an update, as the field `outcome` of log lines names it.
    pub enum Outcome {
        Answered = "answered": "it has an answer, whose rest is sent later if it is long, and its rows are written or will be",
        AnsweredBefore = "answered_before": "its rows were written before",
        Recorded = "recorded": "it is recorded and gets no answer",
        RegistrationSent = "registration_sent": "its sender is unlinked and was told how to register",
        Ignored = "ignored": "nothing is written about it",
        Undeliverable = "undeliverable": "Meta refused the answer permanently",
        Silenced = "silenced": "it gets no answer, because its sender seems to answer each answer",
        Dropped = "dropped": "its rows are dropped",
        Applied = "applied": "the status is among those of a row of the history",
        Kept = "kept": "the status is kept, and the history has no row of its message, or not yet",
        AppliedBefore = "applied_before": "the status was kept before",
        EventKept = "event_kept": "the event is kept",
        Deferred = "deferred": "it is on the record queue",
        Returned = "returned": "it is returned to its queue and will be redelivered",
    }
}

/// An update that was handled: its outcome, and why where that is not plain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Handled {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Cow<'static, str>>,
}

/// What is logged of a delivery.
#[derive(Debug)]
pub(crate) struct Report {
    /// Whose history it is about, as far as that was found.
    pub(crate) user_id: Option<Uuid>,
    /// What became of it, or why it must be redelivered.
    pub(crate) result: Result<Handled, Failure>,
}

impl Outcome {
    /// An outcome for this reason.
    pub(crate) fn because(self, reason: impl Into<Cow<'static, str>>) -> Handled {
        Handled { outcome: self, reason: Some(reason.into()) }
    }

    /// What counts an update of this kind that was handled with this outcome.
    #[must_use]
    pub const fn counter(self, update: UpdateKind) -> Counter {
        match (self, update) {
            (Self::Answered, _) => Counter::AnsweredMessages,
            (Self::RegistrationSent, _) => Counter::RegistrationTexts,
            (Self::Silenced, _) => Counter::SilencedMessages,
            (Self::Recorded, UpdateKind::Message) => Counter::RecordedMessages,
            (
                Self::AnsweredBefore
                | Self::Recorded
                | Self::Ignored
                | Self::Undeliverable
                | Self::Dropped
                | Self::Applied
                | Self::Kept
                | Self::AppliedBefore
                | Self::EventKept
                | Self::Deferred
                | Self::Returned,
                update,
            ) => match update {
                UpdateKind::Echo => Counter::HandledEchoes,
                UpdateKind::Status => Counter::HandledStatuses,
                UpdateKind::Event => Counter::HandledEvents,
                UpdateKind::Message | UpdateKind::Record | UpdateKind::Unknown => Counter::HandledMessages,
            },
        }
    }
}

impl From<Outcome> for Handled {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, reason: None }
    }
}

impl Report {
    /// An update that was handled, of this user if one is known.
    pub(crate) fn handled(handled: impl Into<Handled>, user_id: Option<Uuid>) -> Self {
        Self { user_id, result: Ok(handled.into()) }
    }
}

impl From<Failure> for Report {
    fn from(failure: Failure) -> Self {
        Self { user_id: None, result: Err(failure) }
    }
}
