//! What the functions logged, and waiting for it.
//!
//! The functions log JSON, as on Lambda. What became of a message is read from there, like an operator
//! reads it, and from nowhere else.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use local_lambda::{LogLine, LogSink};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

/// How many lines are kept: some 30 MiB, and more than a thousand messages' lines.
const KEPT: usize = 10_000;

/// A line of a function's log. A clone shares it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The function that wrote it.
    pub function: Arc<str>,
    /// The line as JSON; `null` when it is something else, such as a panic's message.
    pub fields: Arc<Value>,
    /// The line as it was written.
    pub text: Arc<str>,
}

impl Entry {
    fn new(line: LogLine) -> Self {
        let fields = serde_json::from_str(&line.text).unwrap_or_default();
        Self { function: line.function, fields: Arc::new(fields), text: line.text.into() }
    }

    /// A field's text, or nothing.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The newest 10,000 lines of all functions, in the order in which they were read.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lines: Mutex<Lines>,
    /// How many lines there were, those that are kept no more included.
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<Entry>,
    /// How many are kept no more.
    dropped: usize,
    /// Who gets every line.
    subscribers: Vec<mpsc::UnboundedSender<Entry>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { lines: Mutex::default(), count: watch::Sender::new(0) }
    }
}

/// A place in the journal; its beginning by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(usize);

impl Journal {
    /// Where a function's lines go.
    #[must_use]
    pub fn sink(&self) -> LogSink {
        let shared = Arc::clone(&self.shared);
        LogSink::new(move |line: LogLine| {
            // Not under the lock: reading JSON takes time.
            let entry = Entry::new(line);
            let count = shared.lock().add(entry);
            // Two of these may be in the other order: the count never goes back.
            shared.count.send_if_modified(|latest| {
                let is_later = count > *latest;
                *latest = count.max(*latest);
                is_later
            });
        })
    }

    /// Where the journal ends now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.shared.lock().count())
    }

    /// What was logged since `mark`, as far as it is kept.
    #[must_use]
    pub fn since(&self, mark: Mark) -> Vec<Entry> {
        self.shared.lock().since(mark.0)
    }

    /// What was logged since `mark`, which moves behind it; waits until there is something.
    pub async fn next(&self, mark: &mut Mark) -> Vec<Entry> {
        // The sender lives as long as we do: this is no error.
        let _ = self.shared.count.subscribe().wait_for(|count| *count > mark.0).await;
        let lines = self.shared.lock();
        let entries = lines.since(mark.0);
        mark.0 = lines.count();
        entries
    }

    /// Every line, those that are kept now and all later ones: what is not taken yet is not dropped.
    #[must_use]
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Entry> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut lines = self.shared.lock();
        for entry in &lines.kept {
            // The receiver is here.
            let _ = sender.send(entry.clone());
        }
        lines.subscribers.push(sender);
        receiver
    }

    /// Waits until what was logged since `mark` is enough, and returns it; after `deadline` what there is.
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
        // An error is the deadline.
        let _ = tokio::time::timeout(deadline, waiting).await;
        logged
    }

    /// Calls `show` with every line from `mark` on, for ever. One that is too slow misses the oldest.
    pub async fn follow(&self, mut mark: Mark, show: impl Fn(&Entry)) {
        loop {
            self.next(&mut mark).await.iter().for_each(&show);
        }
    }
}

impl Lines {
    /// Adds a line and returns how many there were.
    fn add(&mut self, entry: Entry) -> usize {
        self.subscribers.retain(|subscriber| subscriber.send(entry.clone()).is_ok());
        self.kept.push_back(entry);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.count()
    }

    fn count(&self) -> usize {
        self.dropped + self.kept.len()
    }

    fn since(&self, mark: usize) -> Vec<Entry> {
        self.kept.iter().skip(mark.saturating_sub(self.dropped)).cloned().collect()
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
    async fn only_the_newest_lines_are_kept() {
        let journal = Journal::default();
        let mut subscriber = journal.subscribe();
        let [mut early, late] = [Mark(3), Mark(KEPT + 99)];
        for number in 0..KEPT + 100 {
            let count = journal.shared.lock().add(entry(number));
            journal.shared.count.send_replace(count);
        }
        assert_eq!(journal.shared.lock().kept.len(), KEPT);
        assert_eq!(journal.since(early).first().map(|entry| entry.text.to_string()), Some("100".to_owned()));
        let texts: Vec<_> = journal.since(late).into_iter().map(|entry| entry.text.to_string()).collect();
        assert_eq!(texts, [(KEPT + 99).to_string()]);
        assert_eq!(journal.next(&mut early).await.len(), KEPT);
        assert_eq!(early.0, journal.mark().0);
        for number in 0..KEPT + 100 {
            assert_eq!(*subscriber.try_recv().expect("every line").text, *number.to_string());
        }
        drop(subscriber);
        journal.shared.lock().add(entry(0));
        assert!(journal.shared.lock().subscribers.is_empty());
    }
}
