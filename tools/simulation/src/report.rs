//! What runs came to, and how it is told.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::trace::{Digest, Line};

/// What is wrong with a run, or with none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    /// Rows or answers that are missing.
    pub lost: u64,
    /// Messages with more than one row of a role, or with somebody else's.
    pub duplicate_rows: u64,
    /// Second echoes inside the documented window, by cause.
    pub inside: BTreeMap<&'static str, u64>,
    /// Second echoes that should not have been.
    pub outside: u64,
    /// Answers that came before the answer to an earlier message of the same sender.
    pub order_violations: u64,
    /// Answers that waited for the database.
    pub delayed_answers: u64,
    /// Answers that waited for another sender, or longer than the one before them in their group.
    pub delayed_senders: u64,
    /// Histories that do not show the rows as they are.
    pub history_errors: u64,
    /// Dead letters that were never tried.
    pub untried: u64,
    /// Texts that the Graph API does not take, that nobody should have got, or that went to or from another number
    /// than they should.
    pub wrong_texts: u64,
    /// Statuses that are missing.
    pub lost_statuses: u64,
    /// Statuses that are there more than once.
    pub duplicate_statuses: u64,
    /// Answers whose row does not say how far they have come.
    pub wrong_statuses: u64,
    /// Answers that waited for statuses.
    pub delayed_by_statuses: u64,
    /// Events that are missing, or there twice although they say when they were.
    pub lost_events: u64,
    /// Links that lack what a message said.
    pub unlearned: u64,
    /// Invocations that were cut off at their deadline.
    pub cut: u64,
    /// Loops with automatic correspondents that went on for too long.
    pub endless: u64,
    /// Messages in another person's history.
    pub misfiled: u64,
    /// Links that somebody took out and that are there again.
    pub relinked: u64,
    /// Links with a number or user id that is not their person's, or no longer.
    pub wrong_links: u64,
    /// What is wrong, in words. Empty when every promise was kept.
    pub violations: Vec<String>,
}

/// What a run came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Messages that people wrote.
    pub messages: u64,
    /// Statuses that Meta had to tell.
    pub statuses: u64,
    /// Events that Meta had to tell.
    pub events: u64,
    /// Faults, by kind.
    pub injected: BTreeMap<&'static str, u64>,
    /// Messages in dead-letter queues when everything had come to rest.
    pub dead_letters: u64,
    /// What is wrong.
    pub findings: Findings,
    /// The trace in short.
    pub digest: Digest,
    /// The trace, if it was kept.
    pub trace: Vec<Line>,
}

/// What all runs came to.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// The seed that the runs' own seeds derive from.
    pub seed: u64,
    /// Runs.
    pub runs: u64,
    /// Messages.
    pub messages: u64,
    /// Statuses.
    pub statuses: u64,
    /// Events.
    pub events: u64,
    /// Faults, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// See [`Findings::lost`].
    pub lost: u64,
    /// See [`Findings::duplicate_rows`].
    pub duplicate_rows: u64,
    /// Second echoes inside the documented window.
    pub second_echoes_inside: u64,
    /// The same, by cause: see [`Findings::inside`].
    pub second_echoes_by_cause: BTreeMap<&'static str, u64>,
    /// See [`Findings::outside`].
    pub second_echoes_outside: u64,
    /// See [`Findings::order_violations`].
    pub order_violations: u64,
    /// See [`Findings::delayed_answers`].
    pub delayed_answers: u64,
    /// See [`Findings::delayed_senders`].
    pub delayed_senders: u64,
    /// Dead letters, all of which were sent back and delivered, or kept because nobody can read them.
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
    /// See [`Findings::unlearned`].
    pub unlearned: u64,
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
    /// Seeds of runs that broke a promise.
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
            self.second_echoes_inside += count;
            *self.second_echoes_by_cause.entry(cause).or_default() += count;
        }
        self.lost += findings.lost;
        self.duplicate_rows += findings.duplicate_rows;
        self.second_echoes_outside += findings.outside;
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
        self.unlearned += findings.unlearned;
        self.cut_invocations += findings.cut;
        self.endless_loops += findings.endless;
        self.misfiled += findings.misfiled;
        self.relinked += findings.relinked;
        self.wrong_links += findings.wrong_links;
        if !findings.violations.is_empty() {
            self.failed.push(outcome.seed);
        }
    }

    /// Whether every promise was kept in every run.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty()
    }
}

impl fmt::Display for Summary {
    /// Faults and causes a line each, and everything in the last line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults:")?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {count:>9}  {kind}")?;
        }
        writeln!(f, "second echoes inside the documented window:")?;
        for (cause, count) in &self.second_echoes_by_cause {
            writeln!(f, "  {count:>9}  {cause}")?;
        }
        write!(
            f,
            "seed {}: runs {}, messages {}, statuses {}, events {}, faults {}, lost {}, duplicate rows {}, second echoes inside the window \
             {} and outside {}, order violations {}, answers delayed by the database {}, by other senders {} and by statuses \
             {}, dead letters {} ({} of them never tried), wrong texts {}, history errors {}, lost statuses {}, \
             duplicate statuses {}, wrong statuses {}, lost events {}, unlearned links {}, invocations cut off {}, endless loops {}, messages in another's history \
             {}, links that came back {}, wrong links {}",
            self.seed,
            self.runs,
            self.messages,
            self.statuses,
            self.events,
            self.faults.values().sum::<u64>(),
            self.lost,
            self.duplicate_rows,
            self.second_echoes_inside,
            self.second_echoes_outside,
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
            self.unlearned,
            self.cut_invocations,
            self.endless_loops,
            self.misfiled,
            self.relinked,
            self.wrong_links,
        )
    }
}
