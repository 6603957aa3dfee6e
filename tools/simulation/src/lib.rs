//! A fault simulation: the production code of all three functions over models of the services around them, on
//! virtual time, with all faults drawn from a seed. The same seed gives the same run.
//!
//! | module | content |
//! |---|---|
//! | [`run`] | one run, from its seed to the violations at the end |
//! | [`many`] | many runs |
//! | [`command`] | the command line: runs, violations and summary |
//! | [`world`] | the state of every service, and the clock |
//! | [`faults`] | the faults and their rates |
//! | [`people`] | the users |
//! | [`links`] | their links in the database |
//! | [`changes`] | changes of their numbers and user ids: drawing and payloads |
//! | [`identities`] | changes of their numbers and user ids: execution |
//! | [`follow`] | links after such changes, and after operators' edits |
//! | [`meta`] | messages of users; payloads posted, retried, duplicated |
//! | [`payloads`] | JSON of the payloads |
//! | [`business`] | messages that the business sends itself |
//! | [`statuses`] | statuses of answers |
//! | [`events`] | all other events |
//! | [`webhook`] | `webhook` on Lambda, and its queue |
//! | [`lambda`] | `reply` on Lambda: batches, deadlines, crashes |
//! | [`queues`] | the queues of the template, over `local-sqs`, and the calls of `reply` |
//! | [`graph`] | the Graph API and the phones behind it |
//! | [`database`] | Supabase |
//! | [`history`] | reading of every history through `messages` |
//! | [`attempts`] | the outcome of each handling of a message |
//! | [`invariants`] | the guarantees |
//! | [`loops`] | automatic correspondents, which respond to each answer |
//! | [`echoes`] | causes of duplicate replies |
//! | [`trace`] | the log of a run |
//! | [`report`] | results of runs |
//!
//! A call to a service takes effect even if its caller has crashed meanwhile. A process crashes between two
//! steps, that is, at any await point.

pub mod attempts;
pub mod business;
pub mod changes;
pub mod command;
pub mod database;
pub mod echoes;
pub mod events;
pub mod faults;
pub mod follow;
pub mod graph;
pub mod history;
pub mod identities;
pub mod invariants;
pub mod lambda;
pub mod links;
pub mod loops;
pub mod many;
pub mod meta;
pub mod payloads;
pub mod people;
pub mod queues;
pub mod report;
pub mod run;
pub mod statuses;
pub mod trace;
pub mod webhook;
pub mod world;

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
}

impl Defect {
    /// Whether the defect shows only in runs with changes of numbers, user ids or links.
    fn needs_identity_changes(self) -> bool {
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
}
