//! The functions' logs, and waiting for lines in them.
//!
//! The functions log JSON, as on Lambda. The outcome of a message is read from the logs alone, as an operator
//! reads it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use local_lambda::{LogLine, LogSink};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

/// The number of stored lines: about 30 MiB, and more than a thousand messages' lines.
const CAPACITY: usize = 10_000;

/// A line of a function's log. A clone shares the line.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The function that wrote it.
    pub function: Arc<str>,
    /// The line as JSON; `null` for a line that is not JSON, such as a panic's message.
    pub fields: Arc<Value>,
    /// The line as written.
    pub text: Arc<str>,
}

impl Entry {
    fn new(line: LogLine) -> Self {
        let fields = serde_json::from_str(&line.text).unwrap_or_default();
        Self { function: line.function, fields: Arc::new(fields), text: line.text.into() }
    }

    /// Returns the value of a string field, or an empty string.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The newest 10,000 lines of all functions, in the order of reading.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lines: Mutex<Lines>,
    /// The number of lines so far, dropped ones included.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Lines {
    stored: VecDeque<Entry>,
    /// The number of lines that are not stored any more.
    dropped: usize,
    /// The receivers of every line.
    subscribers: Vec<mpsc::UnboundedSender<Entry>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { lines: Mutex::default(), count: watch::Sender::new(0) }
    }
}

/// A position in the logs; their beginning by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(usize);

impl Logs {
    /// Returns the destination for a function's lines.
    #[must_use]
    pub fn sink(&self) -> LogSink {
        let shared = Arc::clone(&self.shared);
        LogSink::new(move |line: LogLine| {
            // Not under the lock: parsing JSON takes time.
            let entry = Entry::new(line);
            let count = shared.lock().add(entry);
            // Two concurrent calls may get here in the opposite order: the count never decreases.
            shared.count.send_if_modified(|latest| {
                let is_later = count > *latest;
                *latest = count.max(*latest);
                is_later
            });
        })
    }

    /// Returns the current end of the logs.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.shared.lock().count())
    }

    /// Returns the lines since `mark` that are still stored.
    #[must_use]
    pub fn since(&self, mark: Mark) -> Vec<Entry> {
        self.shared.lock().since(mark.0)
    }

    /// Waits for lines after `mark`, returns them, and moves `mark` behind them.
    pub async fn next(&self, mark: &mut Mark) -> Vec<Entry> {
        // The sender lives as long as `self`: an error cannot occur.
        let _ = self.shared.count.subscribe().wait_for(|count| *count > mark.0).await;
        let lines = self.shared.lock();
        let entries = lines.since(mark.0);
        mark.0 = lines.count();
        entries
    }

    /// Subscribes to every line, the stored ones and all later ones. Lines that are not received yet are not dropped.
    #[must_use]
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Entry> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut lines = self.shared.lock();
        for entry in &lines.stored {
            // The receiver exists: sending cannot fail.
            let _ = sender.send(entry.clone());
        }
        lines.subscribers.push(sender);
        receiver
    }

    /// Waits until `enough` accepts the lines since `mark`, and returns them; after `deadline` the lines so far.
    pub async fn wait(
        &self,
        mut mark: Mark,
        deadline: Duration,
        enough: impl Fn(&[Entry]) -> bool,
    ) -> Vec<Entry> {
        let mut logged = Vec::new();
        let waiting = async {
            while !enough(&logged) {
                logged.extend(self.next(&mut mark).await);
            }
        };
        // An error means that the deadline has passed.
        let _ = tokio::time::timeout(deadline, waiting).await;
        logged
    }

    /// Calls `show` with every line from `mark` on, indefinitely. If `show` is too slow, it misses the oldest lines.
    pub async fn follow(&self, mut mark: Mark, show: impl Fn(&Entry)) {
        loop {
            self.next(&mut mark).await.iter().for_each(&show);
        }
    }
}

impl Lines {
    /// Adds a line and returns the number of lines so far.
    fn add(&mut self, entry: Entry) -> usize {
        self.subscribers.retain(|subscriber| subscriber.send(entry.clone()).is_ok());
        self.stored.push_back(entry);
        if self.stored.len() > CAPACITY {
            self.stored.pop_front();
            self.dropped += 1;
        }
        self.count()
    }

    fn count(&self) -> usize {
        self.dropped + self.stored.len()
    }

    fn since(&self, mark: usize) -> Vec<Entry> {
        self.stored.iter().skip(mark.saturating_sub(self.dropped)).cloned().collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: usize) -> Entry {
        Entry { function: "reply".into(), fields: Arc::default(), text: number.to_string().into() }
    }

    #[tokio::test]
    async fn only_the_newest_lines_are_stored() {
        let logs = Logs::default();
        let mut subscriber = logs.subscribe();
        let [mut early, late] = [Mark(3), Mark(CAPACITY + 99)];
        for number in 0..CAPACITY + 100 {
            let count = logs.shared.lock().add(entry(number));
            logs.shared.count.send_replace(count);
        }
        assert_eq!(logs.shared.lock().stored.len(), CAPACITY);
        assert_eq!(logs.since(early).first().map(|entry| entry.text.to_string()), Some("100".to_owned()));
        let texts: Vec<_> = logs.since(late).into_iter().map(|entry| entry.text.to_string()).collect();
        assert_eq!(texts, [(CAPACITY + 99).to_string()]);
        assert_eq!(logs.next(&mut early).await.len(), CAPACITY);
        assert_eq!(early.0, logs.mark().0);
        for number in 0..CAPACITY + 100 {
            assert_eq!(*subscriber.try_recv().expect("every line").text, *number.to_string());
        }
        drop(subscriber);
        logs.shared.lock().add(entry(0));
        assert!(logs.shared.lock().subscribers.is_empty());
    }
}
