//! The language model of a run: its faults, its settings, and what was asked of it.
//!
//! All of it is drawn from a sequence of its own: the other faults of a seed stay the same.

use std::collections::BTreeMap;

use reply::details::LlmDetails;
use reply::llm::limits::{DayUsage, Limits};
use serde::Deserialize;
use shared::supabase::rows::{MessageCreate, Role};

use crate::model::faults::{Chance, Span, at, spans};

/// Distinguishes the sequence from the one of all other faults.
const SEQUENCE: u64 = 0x6c6c_6d21_6c6c_6d21;

/// Share of the runs in which a language model answers, per mille.
const RUNS: u64 = 350;

/// A failure of the model's server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LlmFault {
    /// It refuses more requests, and names a time.
    Throttled,
    /// It fails.
    Server,
    /// It does not respond.
    Silent,
    /// There is no connection.
    Unreachable,
    /// It answers, and the answer is lost.
    AnswerLost,
    /// It answers after up to a minute.
    Slow,
    /// The conversation is too long for it.
    TooLong,
    /// Its answer is not usable.
    Unusable,
    /// It refuses the key.
    Account,
}

impl LlmFault {
    const ALL: [Self; 9] = [
        Self::Throttled,
        Self::Server,
        Self::Silent,
        Self::Unreachable,
        Self::AnswerLost,
        Self::Slow,
        Self::TooLong,
        Self::Unusable,
        Self::Account,
    ];

    /// Its name in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttled => "model refuses more requests",
            Self::Server => "model fails",
            Self::Silent => "model silent",
            Self::Unreachable => "model unreachable",
            Self::AnswerLost => "model's answer lost",
            Self::Slow => "model slow",
            Self::TooLong => "conversation too long for the model",
            Self::Unusable => "model's answer unusable",
            Self::Account => "model refuses the key",
        }
    }
}

/// The language model, and what is known of its calls.
#[derive(Debug)]
pub struct Llm {
    /// The source of randomness of all that concerns the model.
    pub chance: Chance,
    /// Whether it answers in this run.
    pub answers: bool,
    /// A call fails, per mille.
    rate: u64,
    outages: Vec<Span<LlmFault>>,
    /// The limits of a day.
    pub limits: Limits,
    /// Whether there is a fallback text.
    pub has_fallback: bool,
    /// Whether messages wait while the conversation so far cannot be read.
    pub requires_history: bool,
    /// Answers of the model, in the order in which it gave them.
    pub calls: Vec<Call>,
    /// The day's answers, as the database returned them to each attempt.
    pub usage: BTreeMap<usize, DayUsage>,
    /// Retries after the time for a turn, by the wamid of its last message.
    pub late_retries: Vec<String>,
    /// Turns without a reply that should have one, by the wamid of the last message.
    pub wrong_silences: Vec<String>,
    /// Answers and notices although a limit was reached, by the wamid of the last message.
    pub beyond_limits: Vec<String>,
}

/// An answer of the model: it is paid for.
#[derive(Clone, Debug)]
pub struct Call {
    /// The attempt that asked for it.
    pub attempt: usize,
    /// Wamid of the last message of the turn.
    pub wamid: String,
    /// Whether it is usable, and the process got it.
    pub is_returned: bool,
}

impl Llm {
    /// Draws the model of the run of `seed`, with faults before `end`.
    #[must_use]
    pub fn draw(seed: u64, end: u64) -> Self {
        let mut chance = Chance::new(seed ^ SEQUENCE);
        let answers = chance.in_1000(RUNS);
        let rate = if chance.in_1000(700) { chance.between(1, 400) } else { 0 };
        let outages = spans(&mut chance, end, 400, |chance| chance.pick(LlmFault::Server, &LlmFault::ALL));
        let mut limit = |often: u64, most: u64| chance.in_1000(often).then(|| chance.between(1, most));
        let limits =
            Limits { user_answers: limit(200, 5), answers: limit(200, 30), output_tokens: limit(100, 500) };
        Self {
            answers,
            rate,
            outages,
            limits,
            has_fallback: chance.in_1000(800),
            requires_history: chance.in_1000(300),
            chance,
            calls: Vec::new(),
            usage: BTreeMap::new(),
            late_retries: Vec::new(),
            wrong_silences: Vec::new(),
            beyond_limits: Vec::new(),
        }
    }

    /// The fault of a call at `now`.
    pub fn fault(&mut self, now: u64, is_faulty: bool) -> Option<LlmFault> {
        let drawn = is_faulty && self.chance.in_1000(self.rate);
        let drawn = drawn.then(|| self.chance.pick(LlmFault::Throttled, &LlmFault::ALL));
        at(&self.outages, now).or(drawn)
    }
}

/// How the answer in a row came about, if the language model, or what stands in for it, gave it.
#[must_use]
pub fn details(row: &MessageCreate) -> Option<LlmDetails> {
    #[derive(Deserialize)]
    struct Payload {
        llm: Option<LlmDetails>,
    }
    let payload = row.payload.as_ref().filter(|_| row.role == Role::Assistant)?;
    serde_json::from_str::<Payload>(payload.get()).ok()?.llm
}
