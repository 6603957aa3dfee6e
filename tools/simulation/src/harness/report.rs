//! Results of runs, and their output.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::checks::findings::Findings;
use crate::model::trace::{Digest, Line};

/// Result of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Number of users' messages.
    pub messages: u64,
    /// Number of statuses from Meta.
    pub statuses: u64,
    /// Number of events from Meta.
    pub events: u64,
    /// Number of faults by kind.
    pub injected: BTreeMap<&'static str, u64>,
    /// Messages in dead-letter queues after the run had settled.
    pub dead_letters: u64,
    /// The violations.
    pub findings: Findings,
    /// Digest of the trace.
    pub digest: Digest,
    /// The trace, if stored.
    pub trace: Vec<Line>,
}

/// Result of all runs.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// The first seed, from which the others derive.
    pub seed: u64,
    /// Number of runs.
    pub runs: u64,
    /// Number of messages.
    pub messages: u64,
    /// Number of statuses.
    pub statuses: u64,
    /// Number of events.
    pub events: u64,
    /// Number of faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// See [`Findings::lost`].
    pub lost: u64,
    /// See [`Findings::duplicate_rows`].
    pub duplicate_rows: u64,
    /// Duplicate replies that are documented as possible.
    pub duplicate_replies_inside: u64,
    /// By cause: see [`Findings::inside`].
    pub duplicate_replies_by_cause: BTreeMap<&'static str, u64>,
    /// See [`Findings::outside`].
    pub duplicate_replies_outside: u64,
    /// See [`Findings::order_violations`].
    pub order_violations: u64,
    /// See [`Findings::delayed_answers`].
    pub delayed_answers: u64,
    /// See [`Findings::delayed_senders`].
    pub delayed_senders: u64,
    /// Dead letters, all of which were redriven and handled, or are unreadable.
    pub dead_letters: u64,
    /// See [`Findings::history_errors`].
    pub history_errors: u64,
    /// See [`Findings::untried`].
    pub untried: u64,
    /// See [`Findings::wrong_texts`].
    pub wrong_texts: u64,
    /// See [`Findings::lost_statuses`].
    pub lost_statuses: u64,
    /// See [`Findings::duplicate_statuses`].
    pub duplicate_statuses: u64,
    /// See [`Findings::wrong_statuses`].
    pub wrong_statuses: u64,
    /// See [`Findings::delayed_by_statuses`].
    pub delayed_by_statuses: u64,
    /// See [`Findings::lost_events`].
    pub lost_events: u64,
    /// See [`Findings::incomplete_links`].
    pub incomplete_links: u64,
    /// See [`Findings::cut`].
    pub cut_invocations: u64,
    /// See [`Findings::endless`].
    pub endless_loops: u64,
    /// See [`Findings::misfiled`].
    pub misfiled: u64,
    /// See [`Findings::relinked`].
    pub relinked: u64,
    /// See [`Findings::wrong_links`].
    pub wrong_links: u64,
    /// Seeds of runs with a violated guarantee.
    pub failed: Vec<u64>,
}

impl Summary {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        let findings = &outcome.findings;
        self.runs += 1;
        self.messages += outcome.messages;
        self.statuses += outcome.statuses;
        self.events += outcome.events;
        self.dead_letters += outcome.dead_letters;
        for (kind, count) in &outcome.injected {
            *self.faults.entry(kind).or_default() += count;
        }
        for (cause, count) in &findings.inside {
            self.duplicate_replies_inside += count;
            *self.duplicate_replies_by_cause.entry(cause).or_default() += count;
        }
        self.lost += findings.lost;
        self.duplicate_rows += findings.duplicate_rows;
        self.duplicate_replies_outside += findings.outside;
        self.order_violations += findings.order_violations;
        self.delayed_answers += findings.delayed_answers;
        self.delayed_senders += findings.delayed_senders;
        self.history_errors += findings.history_errors;
        self.untried += findings.untried;
        self.wrong_texts += findings.wrong_texts;
        self.lost_statuses += findings.lost_statuses;
        self.duplicate_statuses += findings.duplicate_statuses;
        self.wrong_statuses += findings.wrong_statuses;
        self.delayed_by_statuses += findings.delayed_by_statuses;
        self.lost_events += findings.lost_events;
        self.incomplete_links += findings.incomplete_links;
        self.cut_invocations += findings.cut;
        self.endless_loops += findings.endless;
        self.misfiled += findings.misfiled;
        self.relinked += findings.relinked;
        self.wrong_links += findings.wrong_links;
        if !findings.violations.is_empty() {
            self.failed.push(outcome.seed);
        }
    }

    /// Whether every guarantee held in every run.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty()
    }
}

impl fmt::Display for Summary {
    /// One line per fault and cause, and everything else in the last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults:")?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {count:>9}  {kind}")?;
        }
        writeln!(f, "duplicate replies inside the documented window:")?;
        for (cause, count) in &self.duplicate_replies_by_cause {
            writeln!(f, "  {count:>9}  {cause}")?;
        }
        write!(
            f,
            "seed {}: runs {}, messages {}, statuses {}, events {}, faults {}, lost {}, duplicate rows {}, duplicate replies inside the window \
             {} and outside {}, order violations {}, answers delayed by the database {}, by other senders {} and by statuses \
             {}, dead letters {} ({} of them without an attempt), wrong texts {}, history errors {}, lost statuses {}, \
             duplicate statuses {}, wrong statuses {}, lost events {}, incomplete links {}, invocations timed out {}, endless loops {}, messages in another's history \
             {}, restored links {}, wrong links {}",
            self.seed,
            self.runs,
            self.messages,
            self.statuses,
            self.events,
            self.faults.values().sum::<u64>(),
            self.lost,
            self.duplicate_rows,
            self.duplicate_replies_inside,
            self.duplicate_replies_outside,
            self.order_violations,
            self.delayed_answers,
            self.delayed_senders,
            self.delayed_by_statuses,
            self.dead_letters,
            self.untried,
            self.wrong_texts,
            self.history_errors,
            self.lost_statuses,
            self.duplicate_statuses,
            self.wrong_statuses,
            self.lost_events,
            self.incomplete_links,
            self.cut_invocations,
            self.endless_loops,
            self.misfiled,
            self.relinked,
            self.wrong_links,
        )
    }
}
