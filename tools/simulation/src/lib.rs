//! A fault simulation: the production code of all three functions over models of everything around them, on
//! virtual time, with every fault drawn from a seed. The same seed is the same run.
//!
//! | module | what it does |
//! |---|---|
//! | [`run`] | one run, from its seed to what is wrong at the end |
//! | [`many`] | many runs |
//! | [`command`] | the command: runs, and tells what went wrong |
//! | [`world`] | what every service remembers, and the clock |
//! | [`faults`] | what goes wrong, and how often |
//! | [`people`] | who writes |
//! | [`links`] | what the database has linked of them |
//! | [`changes`] | what becomes of their numbers and user ids, as it is drawn and told |
//! | [`identities`] | how it happens |
//! | [`follow`] | what the database and operators make of it |
//! | [`meta`] | what they write; payloads posted, posted again, posted twice |
//! | [`payloads`] | what they and Meta say, as payloads |
//! | [`business`] | what the business writes itself |
//! | [`statuses`] | what Meta says became of answers |
//! | [`events`] | what else Meta says |
//! | [`webhook`] | `webhook` on Lambda, and its queue |
//! | [`lambda`] | `reply` on Lambda: batches, deadlines, processes that die |
//! | [`queues`] | the queues of the template, over `local-sqs`, and what `reply` tells them |
//! | [`graph`] | the Graph API and the phones behind it |
//! | [`database`] | Supabase |
//! | [`history`] | owners who read their history through `messages` |
//! | [`attempts`] | what each handling of a message came to |
//! | [`invariants`] | the promises |
//! | [`loops`] | automatic correspondents, which answer each answer |
//! | [`echoes`] | why somebody got an answer twice |
//! | [`trace`] | what happened, to be read |
//! | [`report`] | what runs came to |
//!
//! A call to a service takes effect there even when its caller has died meanwhile. A process dies between
//! two steps, that is, at any point at which it waits.

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

/// A promise that is broken on purpose, to see that the simulation notices.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Break {
    /// Nobody asks whether a message was answered before.
    SkipAnsweredCheck,
    /// Record tasks are confirmed and dropped.
    DropRecordTasks,
    /// Every message is a group of its own.
    NoGroups,
    /// All senders are one group.
    OneGroup,
    /// Messages that failed are deleted.
    AcknowledgeErrors,
    /// Row ids do not depend on the message.
    RandomRowIds,
    /// Answers wait for a database that is away.
    WaitForDatabase,
    /// Messages that wait behind another are hidden, too.
    PunishFollowers,
    /// Only SQS itself makes dead letters.
    NeverGiveUp,
    /// Dead letters are deleted.
    LoseDeadLetters,
    /// The Graph API takes shorter texts than it says.
    ShorterTexts,
    /// Every page of the history is the first.
    IgnoreCursor,
    /// Statuses that the database refuses are confirmed and dropped.
    DropRefusedStatuses,
    /// The same for events.
    DropRefusedEvents,
    /// Statuses of answers are in the group of the sender's messages.
    StatusesInSenderGroup,
    /// The row of an answer shows the status that came last.
    LastStatusWins,
    /// Invocations do not know when they end.
    IgnoreDeadline,
    /// No process remembers how often it has answered somebody.
    ForgetTurns,
    /// Nobody learns the number or user id that was not linked before.
    LearnNothing,
    /// What was learned outlives the number or user id that taught it.
    KeepLearned,
    /// A number is its user's, whichever user id writes from it.
    TrustNumbers,
    /// A number is its user's, although it was given to them after the message was written.
    IgnoreWrittenAt,
    /// Learning does not look at what has become of the link meanwhile.
    LearnUnguarded,
    /// A change is applied each time that it is delivered.
    ApplyAgain,
    /// A change is applied although the link is more recent.
    ApplyStale,
    /// A change is applied whatever webhook field it comes in.
    FollowEverywhere,
    /// A change is a message group of its own.
    ChangesAlone,
}

impl Break {
    /// Whether only people whose number, user id or link changes can show it.
    fn is_about_identities(self) -> bool {
        matches!(
            self,
            Self::KeepLearned
                | Self::TrustNumbers
                | Self::IgnoreWrittenAt
                | Self::LearnUnguarded
                | Self::ApplyAgain
                | Self::ApplyStale
                | Self::FollowEverywhere
                | Self::ChangesAlone
        )
    }
}
