//! The faults of a run: kinds, rates and outages. All of them are drawn from the seed, and all of them end.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use reply::read_receipts::ReadReceipts;

/// Windows of the runs.
const WINDOWS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5)];

/// Distinguishes the sequence from the one of all other faults.
const SEQUENCE: u64 = 0x7475_726e_7321_2121;

/// What answers in a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answers {
    /// The words of each message.
    Echo,
    /// The same with the number of the answer: a retry would say other words.
    NumberedEcho,
    /// A language model.
    Llm,
}

/// How a run answers.
#[derive(Clone, Copy, Debug)]
pub struct Answering {
    /// The time for which a message waits for further ones of its sender.
    pub window: Duration,
    /// What answers.
    pub answers: Answers,
    /// Number of bursts.
    pub bursts: u64,
    /// Whether Meta reports that messages are sent, in the runs without other statuses.
    pub reports_sends: bool,
}

impl Answering {
    /// Draws how the run of `seed` answers.
    #[must_use]
    pub fn draw(seed: u64) -> (Self, Chance) {
        let mut chance = Chance::new(seed ^ SEQUENCE);
        let answering = Self {
            window: chance.pick(WINDOWS[0], &WINDOWS[1..]),
            answers: if chance.in_1000(600) { Answers::Echo } else { Answers::NumberedEcho },
            bursts: chance.pick(0, &[1, 2, 3]),
            reports_sends: chance.in_1000(900),
        };
        (answering, chance)
    }
}

/// The only source of randomness in a run. Identical on every machine.
#[derive(Debug)]
pub struct Chance(Pcg64Mcg);

impl Chance {
    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// A number from `low` to `high`, inclusive.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high.max(low))
    }

    /// A duration from `low` to `high` milliseconds.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// True in `per_mille` of 1000 cases.
    pub fn in_1000(&mut self, per_mille: u64) -> bool {
        self.between(0, 999) < per_mille
    }

    /// One of the values.
    pub fn pick<T: Copy>(&mut self, first: T, others: &[T]) -> T {
        let position = self.between(0, others.len() as u64);
        let position = usize::try_from(position).unwrap_or_default();
        position.checked_sub(1).and_then(|other| others.get(other)).copied().unwrap_or(first)
    }
}

/// Kind of an outage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outage {
    /// Connections are refused.
    Down,
    /// Connections are accepted and get no response.
    Silent,
    /// Every response takes seconds.
    Slow,
    /// The request is performed, and an error is returned.
    AfterEffect,
}

/// An outage, in milliseconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Span<T> {
    /// Kind of the outage.
    pub kind: T,
    from: u64,
    to: u64,
}

/// Failure rates of single calls, per mille.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// The Graph API rejects a request temporarily.
    pub graph_passing: u64,
    /// The Graph API rejects a request permanently.
    pub graph_final: u64,
    /// The request to the Graph API or its response is lost.
    pub graph_lost: u64,
    /// Marking a message as read fails.
    pub receipt: u64,
    /// A database call fails.
    pub database: u64,
    /// A call to a queue fails.
    pub queue: u64,
    /// A process crashes.
    pub death: u64,
    /// An invocation gets less time than the function's timeout.
    pub short_deadline: u64,
    /// The event source mapping does not delete a handled message.
    pub undeleted: u64,
    /// A payload is delivered again after a 200.
    pub duplicate: u64,
}

/// The faults of a run.
#[derive(Debug)]
pub struct Plan {
    /// Rates for single calls.
    pub rates: Rates,
    /// End of all faults, in milliseconds since the start.
    pub end: u64,
    /// Outages of the database.
    pub database: Vec<Span<Outage>>,
    /// Outages of the Graph API, with status and code of every response.
    pub graph: Vec<Span<(u16, i64)>>,
    /// Outages of the queues, which reject every call.
    pub queue: Vec<Span<()>>,
    /// Whether one sender is the only one affected by faults in this run.
    pub isolated: bool,
    /// Whether one sender writes a message that makes its handler panic.
    pub poison: bool,
    /// Whether one sender writes a message that the responder cannot answer until it is repaired.
    pub stubborn: bool,
    /// Whether Meta rejects all messages to one sender until the faults end.
    pub blocked_sender: bool,
    /// Whether the inbound queue contains a message of an unknown version.
    pub unreadable: bool,
    /// Whether Lambda always fills its batches.
    pub full_batches: bool,
    /// Whether some answers are longer than one message.
    pub long_texts: bool,
    /// Whether the Graph API takes seconds for each send.
    pub slow_graph: bool,
    /// Whether one user is an automatic correspondent, which responds to each answer.
    pub automatic: bool,
    /// Whether Meta sends statuses: only in some runs, which take three times as long.
    pub sends_statuses: bool,
    /// Whether statuses are the only fault: neither the database nor the record queue accepts one until the
    /// faults end.
    pub rejects_statuses: bool,
    /// Whether messages are marked as read.
    pub read_receipts: ReadReceipts,
    /// Whether users change numbers and user ids, and operators link and unlink users.
    pub identities: bool,
    /// Whether people link their numbers and user ids.
    pub links: bool,
    /// The window, the responder and the bursts.
    pub answering: Answering,
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

impl Plan {
    /// Draws the faults of a run that answers in this way.
    pub fn draw(chance: &mut Chance, answering: Answering) -> Self {
        let isolated = chance.in_1000(120);
        let end = chance.pick(HOUR, &[10 * MINUTE, 4 * HOUR, 12 * HOUR]);
        let rejects_statuses = isolated && chance.in_1000(300);
        let mut fault = |often: u64| chance.in_1000(often) && !rejects_statuses;
        let mut plan = Self {
            rates: Rates::default(),
            end,
            database: Vec::new(),
            graph: Vec::new(),
            queue: Vec::new(),
            isolated,
            poison: fault(if isolated { 500 } else { 60 }),
            stubborn: fault(if isolated { 300 } else { 40 }),
            blocked_sender: fault(if isolated { 500 } else { 60 }),
            unreadable: fault(if isolated { 200 } else { 20 }),
            full_batches: chance.in_1000(500),
            long_texts: chance.in_1000(100),
            slow_graph: !isolated && chance.in_1000(100),
            automatic: false,
            sends_statuses: rejects_statuses || chance.in_1000(350),
            rejects_statuses,
            read_receipts: chance.pick(ReadReceipts::Off, &[ReadReceipts::Read, ReadReceipts::Typing]),
            identities: !isolated && chance.in_1000(400),
            links: chance.in_1000(400),
            answering,
        };
        // Statuses of so many answers would only take time.
        plan.automatic = !isolated && !plan.sends_statuses && chance.in_1000(60);
        if isolated {
            // Always, or never: no delay may result.
            plan.rates.receipt = chance.pick(0, &[1000]);
            return plan;
        }
        let mut rate =
            |often: u64, most: u64| if chance.in_1000(often) { chance.between(1, most) } else { 0 };
        plan.rates = Rates {
            graph_passing: rate(500, 200),
            graph_final: rate(200, 60),
            graph_lost: rate(500, 120),
            receipt: rate(500, 500),
            database: rate(500, 200),
            queue: rate(500, 200),
            death: rate(500, 200),
            short_deadline: rate(200, 200),
            undeleted: rate(200, 60),
            duplicate: rate(700, 500),
        };
        let kinds = [Outage::Silent, Outage::Slow, Outage::AfterEffect];
        plan.database = spans(chance, end, 600, |chance| chance.pick(Outage::Down, &kinds));
        plan.queue = spans(chance, end, 150, |_| ());
        let codes = [(500, 131_000), (400, 190), (400, 131_056), (503, 2), (401, 0), (400, 131_048)];
        plan.graph = spans(chance, end, 300, |chance| chance.pick((429, 130_429), &codes));
        // Beyond the maximum receive count of the queues: undeliverable messages become dead letters.
        if chance.in_1000(20) {
            plan.end = 60 * HOUR;
            if chance.in_1000(500) {
                plan.database.push(Span { kind: Outage::Down, from: 0, to: plan.end });
            } else {
                plan.graph.push(Span { kind: (401, 190), from: 0, to: plan.end });
            }
        }
        plan
    }

    /// Outage of the database at `now`.
    #[must_use]
    pub fn database_at(&self, now: u64) -> Option<Outage> {
        at(&self.database, now)
    }

    /// Response of the Graph API to every request at `now`, if any.
    #[must_use]
    pub fn graph_at(&self, now: u64) -> Option<(u16, i64)> {
        at(&self.graph, now)
    }

    /// Whether the queues reject every call at `now`.
    #[must_use]
    pub fn queue_at(&self, now: u64) -> bool {
        at(&self.queue, now).is_some()
    }
}

/// The outage at `now`.
pub(super) fn at<T: Copy>(spans: &[Span<T>], now: u64) -> Option<T> {
    spans.iter().find(|span| (span.from..span.to).contains(&now)).map(|span| span.kind)
}

/// Up to three outages before `end`.
pub(super) fn spans<T>(
    chance: &mut Chance,
    end: u64,
    per_mille: u64,
    mut kind: impl FnMut(&mut Chance) -> T,
) -> Vec<Span<T>> {
    let mut spans = Vec::new();
    while spans.len() < 3 && chance.in_1000(per_mille) {
        // Most begin while messages arrive.
        let from = if chance.in_1000(700) { chance.between(0, 5 * MINUTE) } else { chance.between(0, end) };
        let seconds = chance.between(1_000, MINUTE);
        let length = chance.pick(seconds, &[20 * MINUTE, 2 * HOUR, 8 * HOUR]);
        spans.push(Span { kind: kind(chance), from, to: (from + length).min(end) });
    }
    spans
}
