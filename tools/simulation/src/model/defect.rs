//! Deliberate defects.

use std::time::Duration;

use crate::model::faults::{Answering, Answers};

/// A deliberate defect that violates a guarantee, to test that the simulation detects it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Defect {
    /// No check for an earlier answer to the message.
    SkipAnsweredCheck,
    /// Record tasks are confirmed and dropped.
    DropRecordTasks,
    /// Every message is in its own group.
    NoGroups,
    /// All senders are in one group.
    OneGroup,
    /// Failed messages are deleted.
    AcknowledgeErrors,
    /// Row ids do not depend on the message.
    RandomRowIds,
    /// Answers wait for an unavailable database.
    WaitForDatabase,
    /// The visibility timeout of messages that wait behind another one is extended.
    HideFollowers,
    /// Only SQS itself dead-letters messages.
    NeverDeadLetter,
    /// Dead letters are deleted.
    LoseDeadLetters,
    /// The Graph API accepts shorter messages than documented.
    ShorterMessages,
    /// Every page of the history is the first page.
    IgnoreCursor,
    /// Statuses rejected by the database are confirmed and dropped.
    DropRefusedStatuses,
    /// Events rejected by the database are confirmed and dropped.
    DropRefusedEvents,
    /// Statuses of answers are in the message group of the sender.
    StatusesInSenderGroup,
    /// The row of an answer shows the latest status received.
    LastStatusWins,
    /// Invocations ignore their deadline.
    IgnoreDeadline,
    /// No process remembers its number of answers to a sender.
    ForgetTurns,
    /// Links are never completed with the missing number or user id.
    NeverCompleteLinks,
    /// A completed number or user id outlives its source.
    KeepCompletedIdentity,
    /// A number identifies its user, whatever the user id of the message.
    TrustNumbers,
    /// A number identifies its user, even for messages from before the user got the number.
    IgnoreWrittenAt,
    /// Links are completed without a check for concurrent changes.
    CompleteLinksUnguarded,
    /// A redelivered identity change is applied again.
    ApplyAgain,
    /// An identity change is applied although the link is more recent.
    ApplyStale,
    /// An identity change is applied from every webhook field.
    ApplyFromEveryField,
    /// An identity change is in its own message group.
    ChangesInOwnGroup,
    /// A code links its sender without a tap.
    LinkWithoutTap,
    /// A tap links its sender, whoever sent the code.
    LinkAnyTap,
    /// A code that has linked can be claimed again.
    UseCodesTwice,
    /// Codes that have linked are deleted at once.
    ForgetUsedCodes,
    /// Codes and questions are valid until their steps arrive at the database, instead of until they are sent.
    ExpireOnArrival,
    /// Codes are not recognised.
    HideCodes,
    /// Every unlinked sender gets the registration text in answer to each message.
    ForgetRegistrationTexts,
    /// No check for a status of an earlier attempt's answer.
    SkipStatusCheck,
    /// Statuses come without the callback data of their message.
    DropCallbackData,
    /// Stored answers are not found.
    ForgetStoredAnswers,
    /// Stored answers are not deleted with the record.
    KeepStoredAnswers,
    /// The responder is said to be pure, and is not.
    ChangeWords,
    /// A hold counts as several receives.
    CountHolds,
    /// Every delivery has just arrived.
    HoldForever,
    /// The first receive of a message counts as its second.
    CountFirstTwice,
    /// Only the row of the last message of a turn is found.
    ForgetJoined,
    /// Each attempt at a turn is said to be the first, and made at once.
    RetryForever,
    /// The day's answers are said to be none.
    IgnoreLimits,
}

impl Defect {
    /// Draws runs that show the defect.
    pub(crate) fn adapt(self, answering: &mut Answering) {
        match self {
            Self::SkipStatusCheck | Self::DropCallbackData => answering.reports_sends = true,
            Self::KeepStoredAnswers => answering.answers = Answers::NumberedEcho,
            Self::ChangeWords => answering.answers = Answers::Echo,
            Self::ForgetStoredAnswers | Self::RetryForever | Self::IgnoreLimits => {
                answering.answers = Answers::Llm;
            }
            // Without the time of a window, a loop has more turns.
            Self::ForgetTurns => (answering.window, answering.bursts) = (Duration::ZERO, 0),
            Self::CountHolds | Self::HoldForever | Self::CountFirstTwice | Self::ForgetJoined => {
                answering.window = Duration::from_secs(5);
                answering.bursts = answering.bursts.max(2);
            }
            _ => {}
        }
    }

    /// Whether the defect shows only in runs with changes of numbers, user ids or links.
    pub(crate) fn needs_identity_changes(self) -> bool {
        matches!(
            self,
            Self::KeepCompletedIdentity
                | Self::TrustNumbers
                | Self::IgnoreWrittenAt
                | Self::CompleteLinksUnguarded
                | Self::ApplyAgain
                | Self::ApplyStale
                | Self::ApplyFromEveryField
                | Self::ChangesInOwnGroup
        )
    }

    /// Whether the defect shows only in runs in which people link.
    pub(crate) fn needs_linking(self) -> bool {
        matches!(
            self,
            Self::LinkWithoutTap
                | Self::LinkAnyTap
                | Self::UseCodesTwice
                | Self::ForgetUsedCodes
                | Self::ExpireOnArrival
                | Self::HideCodes
                | Self::ForgetRegistrationTexts
        )
    }
}
