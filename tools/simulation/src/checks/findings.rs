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
    }
}
