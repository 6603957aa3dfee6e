//! The violations of a run, and their sums over all runs.

use std::collections::BTreeMap;

use serde::Serialize;

/// Violations of a run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    /// Their numbers.
    pub counts: Counts,
    /// Their descriptions. Empty if every guarantee held.
    pub violations: Vec<String>,
}

/// Numbers of violations, and of documented duplicate replies.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// Missing rows or answers.
    pub lost: u64,
    /// Messages with more than one row of a role.
    pub duplicate_rows: u64,
    /// Duplicate replies that are documented as possible, by cause.
    pub duplicate_replies_by_cause: BTreeMap<&'static str, u64>,
    /// Other duplicate replies.
    pub duplicate_replies_outside: u64,
    /// Answers sent before the answer to an earlier message of the same sender.
    pub order_violations: u64,
    /// Answers delayed by the database.
    pub delayed_answers: u64,
    /// Answers delayed by another sender, or longer than the one before them in their group.
    pub delayed_senders: u64,
    /// Histories that differ from the rows.
    pub history_errors: u64,
    /// Dead letters without an attempt.
    pub untried: u64,
    /// Messages that the Graph API rejects, that need no answer, or that went to or from a wrong number.
    pub wrong_texts: u64,
    /// Missing statuses.
    pub lost_statuses: u64,
    /// Statuses stored more than once.
    pub duplicate_statuses: u64,
    /// Answers with a wrong status in their row.
    pub wrong_statuses: u64,
    /// Answers delayed by statuses.
    pub delayed_by_statuses: u64,
    /// Missing events, or duplicates of events with a time.
    pub lost_events: u64,
    /// Links that were not completed.
    pub incomplete_links: u64,
    /// Invocations that timed out.
    pub cut_invocations: u64,
    /// Unbounded loops with automatic correspondents.
    pub endless_loops: u64,
    /// Messages in another user's history.
    pub misfiled: u64,
    /// Links that were restored after a removal.
    pub relinked: u64,
    /// Links with a foreign or former number or user id.
    pub wrong_links: u64,
    /// Links without a code of the account's session and a tap of the linked person, or with a used code.
    pub unproven_links: u64,
    /// Persons who did every step of linking and are not linked.
    pub unfinished_links: u64,
    /// Steps of linking in a history.
    pub recorded_steps: u64,
    /// Registration texts within 24 hours of another one, or in answer to a code.
    pub extra_registrations: u64,
    /// Messages that are recorded in several turns, although only one was answered.
    pub split_turns: u64,
    /// Retries that answered other messages than the attempt before.
    pub changed_turns: u64,
    /// Second answers with other words although the first ones were known.
    pub changed_words: u64,
    /// Messages held for too long, or too often.
    pub overheld: u64,
    /// Messages dead-lettered because holds were counted as tries.
    pub early_letters: u64,
    /// Stored answers of recorded messages.
    pub stored_answers_left: u64,
    /// Answers of the language model.
    pub model_answers: u64,
    /// Answers of the language model to a turn for which a process had one before.
    pub model_answers_again: u64,
    /// The same, although the first one was stored and found.
    pub needless_calls: u64,
    /// Turns without the fallback text after their time.
    pub late_fallbacks: u64,
    /// Answers of the language model, and notices, beyond a daily limit.
    pub exceeded_limits: u64,
}

/// A documented cause of a second answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The response of the Graph API was lost.
    Lost,
    /// The process crashed before recording.
    Died,
    /// Neither the database nor the record queue confirmed.
    Neither,
    /// Not deleted after handling, rows not visible yet.
    Undeleted,
    /// Not deleted after handling, and nothing is recorded for an unlinked sender.
    UndeletedUnlinked,
    /// Late duplicate before the rows were visible.
    Late,
    /// Late duplicate of an unlinked sender without records.
    LateUnlinked,
    /// Copies of a quarantined or dead-lettered message.
    Copies,
    /// The record queue accepted the rest of an answer without a confirmation.
    UnconfirmedTask,
    /// The rest of an answer to a message that was answered again.
    RestOfRepeated,
    /// The queue returned a part of a turn, and the status was of the whole.
    Cut,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 11] = [
        Self::Lost,
        Self::Died,
        Self::Neither,
        Self::Undeleted,
        Self::UndeletedUnlinked,
        Self::Late,
        Self::LateUnlinked,
        Self::Copies,
        Self::UnconfirmedTask,
        Self::RestOfRepeated,
        Self::Cut,
    ];

    /// Its name in the report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "the response of the Graph API was lost",
            Self::Died => "the process crashed before recording",
            Self::Neither => "neither the database nor the record queue confirmed",
            Self::Undeleted => "not deleted after handling, rows not visible yet",
            Self::UndeletedUnlinked => {
                "not deleted after handling, and nothing is recorded for an unlinked sender"
            }
            Self::Late => "late duplicate before the rows were visible",
            Self::LateUnlinked => "late duplicate of an unlinked sender without records",
            Self::Copies => "copies of a quarantined or dead-lettered message",
            Self::UnconfirmedTask => "the record queue accepted the rest of an answer without a confirmation",
            Self::RestOfRepeated => "the rest of an answer to a message that was answered again",
            Self::Cut => "the queue returned a part of a turn whose answer had a status",
        }
    }

    /// The group of causes.
    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::Lost => "lost responses",
            Self::Died => "crashes",
            Self::Neither => "neither database nor record queue",
            Self::Undeleted | Self::Late => "duplicates while rows could not be seen",
            Self::UndeletedUnlinked | Self::LateUnlinked => "unlinked senders",
            Self::Copies | Self::UnconfirmedTask | Self::RestOfRepeated => "copies",
            Self::Cut => "parts of turns",
        }
    }
}

impl Counts {
    /// Adds the numbers of a run.
    pub fn add(&mut self, run: &Self) {
        for (cause, count) in &run.duplicate_replies_by_cause {
            *self.duplicate_replies_by_cause.entry(cause).or_default() += count;
        }
        self.lost += run.lost;
        self.duplicate_rows += run.duplicate_rows;
        self.duplicate_replies_outside += run.duplicate_replies_outside;
        self.order_violations += run.order_violations;
        self.delayed_answers += run.delayed_answers;
        self.delayed_senders += run.delayed_senders;
        self.history_errors += run.history_errors;
        self.untried += run.untried;
        self.wrong_texts += run.wrong_texts;
        self.lost_statuses += run.lost_statuses;
        self.duplicate_statuses += run.duplicate_statuses;
        self.wrong_statuses += run.wrong_statuses;
        self.delayed_by_statuses += run.delayed_by_statuses;
        self.lost_events += run.lost_events;
        self.incomplete_links += run.incomplete_links;
        self.cut_invocations += run.cut_invocations;
        self.endless_loops += run.endless_loops;
        self.misfiled += run.misfiled;
        self.relinked += run.relinked;
        self.wrong_links += run.wrong_links;
        self.unproven_links += run.unproven_links;
        self.unfinished_links += run.unfinished_links;
        self.recorded_steps += run.recorded_steps;
        self.extra_registrations += run.extra_registrations;
        self.split_turns += run.split_turns;
        self.changed_turns += run.changed_turns;
        self.changed_words += run.changed_words;
        self.overheld += run.overheld;
        self.early_letters += run.early_letters;
        self.stored_answers_left += run.stored_answers_left;
        self.model_answers += run.model_answers;
        self.model_answers_again += run.model_answers_again;
        self.needless_calls += run.needless_calls;
        self.late_fallbacks += run.late_fallbacks;
        self.exceeded_limits += run.exceeded_limits;
    }
}
