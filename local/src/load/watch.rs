//! What becomes of the messages of a load, and when to stop waiting for it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use local_graph::Received;
use tokio::sync::mpsc::UnboundedReceiver;

use super::post::{self, wamid};
use crate::memory::{self, Memory};
use local_stack::Stack;
use local_stack::journal::Entry;
use local_stack::queues::{INBOUND, INBOUND_DEAD_LETTERS, RECORD_DEAD_LETTERS, RECORDS};

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often the database is asked when the log does not say that all is done.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// How long everything may stand still: longer than the third wait of a retry, which is 64 s.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long a load may take as a whole: so much, and so much for each message.
const LIMIT: Duration = Duration::from_secs(60);
const LIMIT_PER_MESSAGE: Duration = Duration::from_millis(10);
/// Missing messages that are named.
const NAMED: usize = 10;

/// What has been seen so far.
#[derive(Debug)]
pub(super) struct Watch {
    messages: usize,
    senders: usize,
    lines: UnboundedReceiver<Entry>,
    echoes: Echoes,
    /// How many messages `reply` says that it has answered.
    handled: usize,
    /// Warnings and errors of the functions, by their counter.
    pub(super) warnings: BTreeMap<String, usize>,
    /// Memory when a third was answered.
    pub(super) memory: Option<BTreeMap<String, Memory>>,
}

/// What phones received.
#[derive(Debug, Default)]
pub(super) struct Echoes {
    /// How many.
    pub(super) count: usize,
    /// How many of each message, by its number.
    pub(super) of: HashMap<usize, u32>,
    /// Those that came before that of an earlier question of their sender.
    pub(super) out_of_order: usize,
    /// The latest of each sender.
    latest: HashMap<usize, usize>,
}

impl Echoes {
    fn add(&mut self, received: &Received, senders: usize) {
        self.count += 1;
        let Some(n) = received.quotes.as_deref().and_then(post::number) else { return };
        *self.of.entry(n).or_default() += 1;
        let latest = self.latest.entry(n % senders).or_default();
        self.out_of_order += usize::from(n < *latest);
        *latest = n.max(*latest);
    }
}

impl Watch {
    /// Begins to watch a stack.
    pub(super) fn new(stack: &Stack, messages: usize, senders: usize) -> Self {
        let lines = stack.journal.subscribe();
        let echoes = Echoes::default();
        Self { messages, senders, lines, echoes, handled: 0, warnings: BTreeMap::new(), memory: None }
    }

    /// What phones have received.
    pub(super) fn echoes(&self) -> &Echoes {
        &self.echoes
    }

    /// Waits until all rows are there. If that does not happen, says why it waits no longer.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(super) async fn wait(&mut self, stack: &Stack) -> anyhow::Result<Result<(), String>> {
        let start = Instant::now();
        let limit = LIMIT + LIMIT_PER_MESSAGE * u32::try_from(self.messages).unwrap_or(u32::MAX);
        let mut look = tokio::time::interval(LOOK_EVERY);
        let (mut progress, mut rows) = ((0, 0, 0), 0);
        let (mut changed, mut asked) = (start, start);
        loop {
            look.tick().await;
            self.look(stack);
            if self.handled >= self.messages || asked.elapsed() > ASK_EVERY {
                rows = count_rows(stack).await?;
                asked = Instant::now();
            }
            if rows >= 2 * self.messages {
                // The echo is sent before its rows are written.
                self.look(stack);
                return Ok(Ok(()));
            }
            let seen = (self.handled, self.echoes.count, rows);
            if seen != progress {
                (progress, changed) = (seen, Instant::now());
            }
            if start.elapsed() > limit {
                return Ok(Err(format!("not finished after {} s", limit.as_secs())));
            }
            if changed.elapsed() > PATIENCE {
                return Ok(Err(format!("nothing has changed for {} s", PATIENCE.as_secs())));
            }
        }
    }

    /// Reads what is new.
    fn look(&mut self, stack: &Stack) {
        for received in stack.services.graph.received_after(self.echoes.count) {
            self.echoes.add(&received, self.senders);
        }
        while let Ok(entry) = self.lines.try_recv() {
            self.handled +=
                usize::from(entry.field("update") == "message" && entry.field("outcome") == "answered");
            if matches!(entry.field("level"), "WARN" | "ERROR") {
                let name = Some(entry.field("counter")).filter(|counter| !counter.is_empty());
                *self.warnings.entry(name.unwrap_or("without a counter").to_owned()).or_default() += 1;
            }
        }
        if self.memory.is_none() && 3 * self.handled >= self.messages {
            self.memory = Some(memory::by_program());
        }
    }

    /// What is missing, and where the queues have something: lines for a person.
    pub(super) fn missing(&self, stack: &Stack, rows: &HashMap<String, usize>) -> Vec<String> {
        let echoes_of = |n: usize| self.echoes.of.get(&n).copied().unwrap_or_default();
        let rows_of = |n: usize| rows.get(&wamid(n)).copied().unwrap_or_default();
        let missing: Vec<usize> =
            (0..self.messages).filter(|n| echoes_of(*n) == 0 || rows_of(*n) < 2).collect();
        let mut lines = vec![format!("{} messages are missing", missing.len())];
        if let Some(server) = &stack.services.queues.server {
            for name in [INBOUND, RECORDS, INBOUND_DEAD_LETTERS, RECORD_DEAD_LETTERS] {
                let Some(view) = server.view(name) else { continue };
                let counts = view.counts;
                lines.push(format!(
                    "queue {name}: {} visible, {} in flight",
                    counts.visible, counts.in_flight
                ));
            }
        }
        let named = missing.iter().take(NAMED);
        lines.extend(named.map(|n| format!("{}: {} echoes, {} rows", wamid(*n), echoes_of(*n), rows_of(*n))));
        lines
    }
}

async fn count_rows(stack: &Stack) -> anyhow::Result<usize> {
    let rows: i64 = sqlx::query_scalar("select count(*) from messages where content like 'wamid.load.%'")
        .fetch_one(stack.services.supabase.pool())
        .await?;
    Ok(usize::try_from(rows).unwrap_or_default())
}
