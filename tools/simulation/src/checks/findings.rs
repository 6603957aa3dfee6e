//! The violations of a run.

use std::collections::BTreeMap;

/// Violations of a run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    /// Missing rows or answers.
    pub lost: u64,
    /// Messages with more than one row of a role.
    pub duplicate_rows: u64,
    /// Duplicate replies that are documented as possible, by cause.
    pub inside: BTreeMap<&'static str, u64>,
    /// Other duplicate replies.
    pub outside: u64,
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
    pub cut: u64,
    /// Unbounded loops with automatic correspondents.
    pub endless: u64,
    /// Messages in another user's history.
    pub misfiled: u64,
    /// Links that were restored after a removal.
    pub relinked: u64,
    /// Links with a foreign or former number or user id.
    pub wrong_links: u64,
    /// Descriptions of the violations. Empty if every guarantee held.
    pub violations: Vec<String>,
}
