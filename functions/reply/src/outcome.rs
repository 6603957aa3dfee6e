//! The outcome of a delivery in the logs, and its counter.

use std::borrow::Cow;
use std::collections::HashSet;

use shared::lambda::counter::Counter;
use shared::lambda::logging::ShortWamid;
use shared::lambda::names::UpdateKind;
use shared::lambda::trace;
use shared::meta::wamid::MessageKey;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::delivery::{Delivery, Work};
use crate::failure::Failure;

shared::names! {
    /// The outcome of an update: the field `outcome` of log lines.
    pub enum Outcome {
        Answered = "answered": "it is answered, and its rows are written; both may be completed later by a record task",
        AnsweredBefore = "answered_before": "an earlier attempt answered it and wrote its rows",
        Recorded = "recorded": "it is recorded and gets no reply",
        RegistrationSent = "registration_sent": "its sender is unlinked and was sent the registration text",
        LinkAsked = "link_asked": "its sender was asked whether to link this WhatsApp to an account",
        Linked = "linked": "its sender tapped on Link and is linked",
        LinkDiscarded = "link_discarded": "its sender tapped on Not me, and the code is discarded",
        LinkRefused = "link_refused": "its code or tap is not valid",
        Held = "held": "it waits for further messages of its sender",
        Ignored = "ignored": "no row is written for it",
        Undeliverable = "undeliverable": "Meta refused the reply permanently",
        Silenced = "silenced": "it gets no reply, because its sender seems to be automatic",
        Dropped = "dropped": "its rows are discarded, because their user was deleted or is unlinked",
        Applied = "applied": "the status is applied to its message's row in the history",
        Stored = "stored": "the status is stored, and its message has no row in the history yet, or never will",
        AppliedBefore = "applied_before": "the status was stored before",
        EventStored = "event_stored": "the event is stored",
        Deferred = "deferred": "it is on the record queue",
        Returned = "returned": "it is returned to its queue and will be redelivered",
    }
}

/// The outcome of a handled update, with a reason if the outcome alone is not clear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Handled {
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Cow<'static, str>>,
}

/// The outcome of a turn.
#[derive(Debug)]
pub(crate) struct TurnReport {
    /// The user that it concerns, if one is known.
    pub(crate) user_id: Option<Uuid>,
    /// The number of its messages, from the oldest, to which `result` applies.
    pub(crate) messages: usize,
    /// Those of them whose rows an earlier attempt wrote.
    pub(crate) recorded_before: HashSet<MessageKey>,
    /// The outcome, or the reason why all messages must be redelivered.
    pub(crate) result: Result<Handled, Failure>,
}

/// The log entry of a delivery.
#[derive(Debug)]
pub(crate) struct Report {
    /// The user that it concerns, if one is known.
    pub(crate) user_id: Option<Uuid>,
    /// The outcome, or the reason why it must be redelivered.
    pub(crate) result: Result<Handled, Failure>,
}

impl Outcome {
    /// Adds a reason to the outcome.
    pub(crate) fn because(self, reason: impl Into<Cow<'static, str>>) -> Handled {
        Handled { outcome: self, reason: Some(reason.into()) }
    }

    /// Returns the counter of handled updates of this kind with this outcome.
    #[must_use]
    pub const fn counter(self, update: UpdateKind) -> Counter {
        match (self, update) {
            (Self::Answered, _) => Counter::AnsweredMessages,
            (Self::RegistrationSent, _) => Counter::RegistrationTexts,
            (Self::LinkAsked, _) => Counter::LinkQuestions,
            (Self::Linked, _) => Counter::LinkedSenders,
            (Self::LinkDiscarded, _) => Counter::DiscardedLinks,
            (Self::LinkRefused, _) => Counter::RefusedLinks,
            (Self::Silenced, _) => Counter::SilencedMessages,
            (Self::Recorded, UpdateKind::Message) => Counter::RecordedMessages,
            (Self::Held, _) => Counter::HeldMessages,
            (
                Self::AnsweredBefore
                | Self::Recorded
                | Self::Ignored
                | Self::Undeliverable
                | Self::Dropped
                | Self::Applied
                | Self::Stored
                | Self::AppliedBefore
                | Self::EventStored
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
    /// Returns the report of a handled update, with its user if one is known.
    pub(crate) fn handled(handled: impl Into<Handled>, user_id: Option<Uuid>) -> Self {
        Self { user_id, result: Ok(handled.into()) }
    }

    /// Returns the report of a turn of so many messages.
    pub(crate) fn of_turn(self, messages: usize) -> TurnReport {
        let Self { user_id, result } = self;
        TurnReport { user_id, messages, recorded_before: HashSet::new(), result }
    }
}

impl From<Failure> for Report {
    fn from(failure: Failure) -> Self {
        Self { user_id: None, result: Err(failure) }
    }
}

/// Logs the outcome of a delivery; `joined` is the number of messages in its turn, if there are several, and `duration_ms`
/// the processing time, if there was any.
pub(crate) fn log(
    delivery: &Delivery,
    user_id: Option<Uuid>,
    result: &Result<Handled, Failure>,
    joined: Option<usize>,
    duration_ms: Option<u64>,
) {
    let user_id = user_id.map(tracing::field::display);
    let work = delivery.work.as_ref().ok();
    let kind = work.map_or(UpdateKind::Unknown, Work::update);
    let (update, name) = (kind.name(), work.and_then(Work::name));
    let wamid = delivery.wamid().map(ShortWamid::field);
    match result {
        Ok(Handled { outcome, reason }) => {
            let counter = outcome.counter(kind).name();
            let (outcome, reason) = (outcome.name(), reason.as_deref());
            let trace_id = trace::current();
            info!(
                counter,
                trace_id,
                update,
                wamid,
                name,
                user_id,
                outcome,
                reason,
                joined,
                duration_ms,
                "{update} handled"
            );
        }
        Err(failure) => {
            let (counter, outcome, reason) = (failure.counter().name(), Outcome::Returned.name(), failure);
            // A responder that says when to ask it again has not failed.
            if failure.is_expected() {
                warn!(counter, update, wamid, name, user_id, outcome, %reason, joined, duration_ms, "{update} returned");
            } else {
                error!(counter, update, wamid, name, user_id, outcome, %reason, joined, duration_ms, "{update} returned");
            }
        }
    }
}
