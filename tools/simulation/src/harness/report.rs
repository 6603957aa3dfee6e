//! Results of runs, and their output.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::checks::findings::{Cause, Counts, Findings};
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
    /// Number of links made by their holders.
    pub links: u64,
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
    /// Number of links made by their holders.
    pub links: u64,
    /// Number of faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Dead letters, all of which were redriven and handled, or are unreadable.
    pub dead_letters: u64,
    /// Duplicate replies that are documented as possible: the sum of those by cause.
    pub duplicate_replies_inside: u64,
    /// The same, by groups of causes.
    pub second_answers: BTreeMap<&'static str, u64>,
    /// Sums of the findings.
    #[serde(flatten)]
    pub counts: Counts,
    /// Seeds of runs with a violated guarantee.
    pub failed: Vec<u64>,
}

impl Summary {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        let Findings { counts, violations } = &outcome.findings;
        self.runs += 1;
        self.messages += outcome.messages;
        self.statuses += outcome.statuses;
        self.events += outcome.events;
        self.links += outcome.links;
        self.dead_letters += outcome.dead_letters;
        for (kind, count) in &outcome.injected {
            *self.faults.entry(kind).or_default() += count;
        }
        self.duplicate_replies_inside += counts.duplicate_replies_by_cause.values().sum::<u64>();
        for cause in Cause::ALL {
            let count = counts.duplicate_replies_by_cause.get(cause.name()).copied().unwrap_or_default();
            *self.second_answers.entry(cause.group()).or_default() += count;
        }
        self.counts.add(counts);
        if !violations.is_empty() {
            self.failed.push(outcome.seed);
        }
    }

    /// Whether every guarantee held in every run.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty()
    }
}

/// A number as a share of another one, in per cent.
struct Share(u64, u64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = self.0 * 10_000 / self.1.max(1);
        write!(f, "{}.{:02} %", hundredths / 100, hundredths % 100)
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
        for (cause, count) in &self.counts.duplicate_replies_by_cause {
            writeln!(f, "  {count:>9}  {cause}")?;
        }
        writeln!(f, "second answers: {}", Share(self.duplicate_replies_inside, self.messages))?;
        for (group, count) in &self.second_answers {
            writeln!(f, "  {count:>9}  {}  {group}", Share(*count, self.messages))?;
        }
        write!(
            f,
            "seed {}: runs {}, messages {}, statuses {}, events {}, links {}, faults {}, lost {}, duplicate rows {}, duplicate replies inside the window \
             {} and outside {}, order violations {}, answers delayed by the database {}, by other senders {} and by statuses \
             {}, dead letters {} ({} of them without an attempt), wrong texts {}, history errors {}, lost statuses {}, \
             duplicate statuses {}, wrong statuses {}, lost events {}, incomplete links {}, invocations timed out {}, endless loops {}, messages in another's history \
             {}, restored links {}, wrong links {}, unproven links {}, unfinished links {}, recorded steps of linking {}, \
             extra registration texts {}, split turns {}, changed turns {}, changed words {}, messages held too long {}, \
             dead letters for holds {}, stored answers left {}, answers of the model {} and {} again, needless calls {}, late \
             fallbacks {}, exceeded limits {}",
            self.seed,
            self.runs,
            self.messages,
            self.statuses,
            self.events,
            self.links,
            self.faults.values().sum::<u64>(),
            self.counts.lost,
            self.counts.duplicate_rows,
            self.duplicate_replies_inside,
            self.counts.duplicate_replies_outside,
            self.counts.order_violations,
            self.counts.delayed_answers,
            self.counts.delayed_senders,
            self.counts.delayed_by_statuses,
            self.dead_letters,
            self.counts.untried,
            self.counts.wrong_texts,
            self.counts.history_errors,
            self.counts.lost_statuses,
            self.counts.duplicate_statuses,
            self.counts.wrong_statuses,
            self.counts.lost_events,
            self.counts.incomplete_links,
            self.counts.cut_invocations,
            self.counts.endless_loops,
            self.counts.misfiled,
            self.counts.relinked,
            self.counts.wrong_links,
            self.counts.unproven_links,
            self.counts.unfinished_links,
            self.counts.recorded_steps,
            self.counts.extra_registrations,
            self.counts.split_turns,
            self.counts.changed_turns,
            self.counts.changed_words,
            self.counts.overheld,
            self.counts.early_letters,
            self.counts.stored_answers_left,
            self.counts.model_answers,
            self.counts.model_answers_again,
            self.counts.needless_calls,
            self.counts.late_fallbacks,
            self.counts.exceeded_limits,
        )
    }
}
