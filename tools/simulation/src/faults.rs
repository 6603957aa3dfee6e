//! What goes wrong in a run: which faults, how often, and when services are away. All of it is drawn from
//! the seed, and all of it ends.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use reply::seen::ReadReceipts;

/// The only source of chance in a run. The same on every machine.
#[derive(Debug)]
pub struct Chance(Pcg64Mcg);

impl Chance {
    /// The numbers that belong to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::seed_from_u64(seed))
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high.max(low))
    }

    /// A time from `low` to `high` milliseconds.
    pub fn millis(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// True in `per_mille` of 1000 cases.
    pub fn in_1000(&mut self, per_mille: u64) -> bool {
        self.between(0, 999) < per_mille
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, first: T, others: &[T]) -> T {
        let position = self.between(0, others.len() as u64);
        let position = usize::try_from(position).unwrap_or_default();
        position.checked_sub(1).and_then(|other| others.get(other)).copied().unwrap_or(first)
    }
}

/// How a service is away for a while.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outage {
    /// Connections are refused.
    Down,
    /// Connections are taken and never answered.
    Silent,
    /// Every answer takes seconds.
    Slow,
    /// What was asked is done, and an error is answered.
    AfterEffect,
}

/// A time without a service, in milliseconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub struct Span<T> {
    /// How.
    pub kind: T,
    from: u64,
    to: u64,
}

/// How often single calls fail, of 1000.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// The Graph API refuses for a reason that passes.
    pub graph_passing: u64,
    /// The Graph API refuses for good.
    pub graph_final: u64,
    /// The request to the Graph API or its answer is lost.
    pub graph_lost: u64,
    /// Marking a message as read fails.
    pub receipt: u64,
    /// A database call fails.
    pub database: u64,
    /// A call to a queue fails.
    pub queue: u64,
    /// A process dies while it handles something.
    pub death: u64,
    /// An invocation has less time than the function's timeout.
    pub hurry: u64,
    /// The event source mapping does not delete what was handled.
    pub undeleted: u64,
    /// A payload is delivered again although it was answered with 200.
    pub duplicate: u64,
}

/// The faults of a run.
#[derive(Debug)]
pub struct Plan {
    /// Single calls.
    pub rates: Rates,
    /// When nothing goes wrong any more, in milliseconds since the start.
    pub end: u64,
    /// When the database is away.
    pub database: Vec<Span<Outage>>,
    /// When the Graph API answers everything with this status and code.
    pub graph: Vec<Span<(u16, i64)>>,
    /// When the queues refuse everything.
    pub queue: Vec<Span<()>>,
    /// One sender's trouble is the only one in this run.
    pub isolated: bool,
    /// Whether one sender writes a message that makes its handler panic.
    pub poison: bool,
    /// Whether one sender writes a message to which the responder has no answer until it is repaired.
    pub stubborn: bool,
    /// Whether Meta refuses everything to one sender until the faults end.
    pub blocked_sender: bool,
    /// Whether somebody's message on the inbound queue is of a version that nobody knows.
    pub unreadable: bool,
    /// Whether Lambda always hands over as many messages as it may.
    pub full_batches: bool,
    /// Whether some answers are longer than one message.
    pub long_texts: bool,
    /// Whether the Graph API takes seconds for each send.
    pub slow_graph: bool,
    /// Whether somebody is an automatic correspondent, who answers each answer.
    pub automatic: bool,
    /// Whether Meta says what became of answers: only in some runs, which take three times as long.
    pub tells_statuses: bool,
    /// Whether statuses are the only trouble: neither the database nor the record queue takes one until the faults end.
    pub refuses_statuses: bool,
    /// Whether messages are marked as read.
    pub read_receipts: ReadReceipts,
    /// Whether people get other numbers and user ids, and operators link and unlink them.
    pub identities: bool,
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

impl Plan {
    /// Draws the faults of a run.
    pub fn draw(chance: &mut Chance) -> Self {
        let isolated = chance.in_1000(120);
        let end = chance.pick(HOUR, &[10 * MINUTE, 4 * HOUR, 12 * HOUR]);
        let refuses_statuses = isolated && chance.in_1000(300);
        let mut trouble = |often: u64| chance.in_1000(often) && !refuses_statuses;
        let mut plan = Self {
            rates: Rates::default(),
            end,
            database: Vec::new(),
            graph: Vec::new(),
            queue: Vec::new(),
            isolated,
            poison: trouble(if isolated { 500 } else { 60 }),
            stubborn: trouble(if isolated { 300 } else { 40 }),
            blocked_sender: trouble(if isolated { 500 } else { 60 }),
            unreadable: trouble(if isolated { 200 } else { 20 }),
            full_batches: chance.in_1000(500),
            long_texts: chance.in_1000(100),
            slow_graph: !isolated && chance.in_1000(100),
            automatic: false,
            tells_statuses: refuses_statuses || chance.in_1000(350),
            refuses_statuses,
            read_receipts: chance.pick(ReadReceipts::Off, &[ReadReceipts::Read, ReadReceipts::Typing]),
            identities: !isolated && chance.in_1000(400),
        };
        // Statuses of so many answers would only take time.
        plan.automatic = !isolated && !plan.tells_statuses && chance.in_1000(60);
        if isolated {
            // Always, or never: nobody must notice.
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
            hurry: rate(200, 200),
            undeleted: rate(200, 60),
            duplicate: rate(700, 500),
        };
        let kinds = [Outage::Silent, Outage::Slow, Outage::AfterEffect];
        plan.database = spans(chance, end, 600, |chance| chance.pick(Outage::Down, &kinds));
        plan.queue = spans(chance, end, 150, |_| ());
        let codes = [(500, 131_000), (400, 190), (400, 131_056), (503, 2), (401, 0), (400, 131_048)];
        plan.graph = spans(chance, end, 300, |chance| chance.pick((429, 130_429), &codes));
        // Longer than the queues have patience: what cannot be delivered becomes a dead letter.
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

    /// How the database is at `now`.
    #[must_use]
    pub fn database_at(&self, now: u64) -> Option<Outage> {
        at(&self.database, now)
    }

    /// What the Graph API answers to everything at `now`.
    #[must_use]
    pub fn graph_at(&self, now: u64) -> Option<(u16, i64)> {
        at(&self.graph, now)
    }

    /// Whether the queues refuse everything at `now`.
    #[must_use]
    pub fn queue_at(&self, now: u64) -> bool {
        at(&self.queue, now).is_some()
    }
}

fn at<T: Copy>(spans: &[Span<T>], now: u64) -> Option<T> {
    spans.iter().find(|span| (span.from..span.to).contains(&now)).map(|span| span.kind)
}

/// Up to three outages before `end`.
fn spans<T>(
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
