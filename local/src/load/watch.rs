//! Watches the outcomes of a load's messages, and decides when to stop waiting.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use local_graph::Received;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Profile;
use super::post::{self, wamid};
use crate::memory::{self, Memory};
use local_stack::Stack;
use local_stack::logs::Entry;
use local_stack::queues::{INBOUND, INBOUND_DEAD_LETTERS, RECORD_DEAD_LETTERS, RECORDS};

const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often the database is queried while the logs do not show that all messages are answered.
const QUERY_INTERVAL: Duration = Duration::from_secs(5);
/// The longest time without progress: longer than the third backoff of a retry, which is 64 s.
const PATIENCE: Duration = Duration::from_secs(90);
/// The time limit of a load: a fixed part, and a part per message.
const LIMIT: Duration = Duration::from_secs(60);
const LIMIT_PER_MESSAGE: Duration = Duration::from_millis(10);
/// The number of missing messages to list.
const LISTED: usize = 10;

/// The observations so far.
#[derive(Debug)]
pub(super) struct Watch {
    profile: Profile,
    lines: UnboundedReceiver<Entry>,
    replies: Replies,
    /// The number of messages that `reply` has logged as answered.
    handled: usize,
    /// Warnings and errors of the functions, by their counter.
    pub(super) warnings: BTreeMap<String, usize>,
    /// Memory after a third of the messages was answered.
    pub(super) memory: Option<BTreeMap<String, Memory>>,
}

/// The replies that phones received.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// The number of replies.
    pub(super) count: usize,
    /// The number of replies to each message, by the message's number.
    pub(super) of: HashMap<usize, usize>,
    /// Replies that arrived before the reply to an earlier message of their sender.
    pub(super) out_of_order: usize,
    /// The latest answered message of each sender.
    latest: HashMap<usize, usize>,
}

impl Replies {
    /// Adds a reply: an echo has a line for each message that it answers.
    fn add(&mut self, received: &Received, profile: Profile) {
        self.count += 1;
        for n in received.body.iter().flat_map(|body| body.lines()).filter_map(post::number) {
            *self.of.entry(n).or_default() += 1;
            let latest = self.latest.entry(profile.sender(n)).or_default();
            self.out_of_order += usize::from(n < *latest);
            *latest = n.max(*latest);
        }
    }
}

impl Watch {
    /// Starts to watch a stack.
    pub(super) fn new(stack: &Stack, profile: Profile) -> Self {
        let lines = stack.logs.subscribe();
        let replies = Replies::default();
        Self { profile, lines, replies, handled: 0, warnings: BTreeMap::new(), memory: None }
    }

    /// Returns the replies that phones have received.
    pub(super) fn replies(&self) -> &Replies {
        &self.replies
    }

    /// Waits until all rows are written. The inner error is the reason for giving up.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub(super) async fn wait(&mut self, stack: &Stack) -> anyhow::Result<Result<(), String>> {
        let (start, messages) = (Instant::now(), self.profile.messages);
        let limit = LIMIT + LIMIT_PER_MESSAGE * u32::try_from(messages).unwrap_or(u32::MAX);
        let mut look = tokio::time::interval(POLL_INTERVAL);
        let (mut progress, mut rows) = ((0, 0, 0), 0);
        let (mut changed, mut queried) = (start, start);
        loop {
            look.tick().await;
            self.look(stack);
            if self.handled >= messages || queried.elapsed() > QUERY_INTERVAL {
                rows = count_rows(stack).await?;
                queried = Instant::now();
            }
            if rows >= 2 * messages {
                // The reply is sent before its rows are written.
                self.look(stack);
                return Ok(Ok(()));
            }
            let seen = (self.handled, self.replies.count, rows);
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

    /// Reads new log lines and new replies.
    fn look(&mut self, stack: &Stack) {
        for received in stack.services.graph.received_after(self.replies.count) {
            self.replies.add(&received, self.profile);
        }
        while let Ok(entry) = self.lines.try_recv() {
            self.handled +=
                usize::from(entry.field("update") == "message" && entry.field("outcome") == "answered");
            if matches!(entry.field("level"), "WARN" | "ERROR") {
                let name = Some(entry.field("counter")).filter(|counter| !counter.is_empty());
                *self.warnings.entry(name.unwrap_or("without a counter").to_owned()).or_default() += 1;
            }
        }
        if self.memory.is_none() && 3 * self.handled >= self.profile.messages {
            self.memory = Some(memory::by_program());
        }
    }

    /// Returns the missing messages and the queues' contents as lines for display.
    pub(super) fn missing(&self, stack: &Stack, rows: &HashMap<String, usize>) -> Vec<String> {
        let replies_of = |n: usize| self.replies.of.get(&n).copied().unwrap_or_default();
        let rows_of = |n: usize| rows.get(&wamid(n)).copied().unwrap_or_default();
        let missing: Vec<usize> =
            (0..self.profile.messages).filter(|n| replies_of(*n) == 0 || rows_of(*n) < 2).collect();
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
        let listed = missing.iter().take(LISTED);
        lines.extend(
            listed.map(|n| format!("{}: {} replies, {} rows", wamid(*n), replies_of(*n), rows_of(*n))),
        );
        lines
    }
}

/// Counts the rows, and those of a reply once for each of its messages.
async fn count_rows(stack: &Stack) -> anyhow::Result<usize> {
    let rows: i64 = sqlx::query_scalar(
        r"select count(*) from messages, regexp_split_to_table(content, '\n') where content like 'wamid.load.%'",
    )
    .fetch_one(stack.services.supabase.pool())
    .await?;
    Ok(usize::try_from(rows).unwrap_or_default())
}
