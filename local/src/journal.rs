//! What the functions logged, and waiting for it.
//!
//! The functions log JSON, as on Lambda. What became of a message is read from there, like an operator
//! reads it, and from nowhere else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use local_lambda::{LogLine, LogSink};
use serde_json::Value;
use tokio::sync::watch;

/// A line of a function's log.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The function that wrote it.
    pub function: Arc<str>,
    /// The line as JSON; `null` when it is something else, such as a panic's message.
    pub fields: Value,
    /// The line as it was written.
    pub text: String,
}

impl Entry {
    /// A field's text, or nothing.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// All lines of all functions, in the order in which they were read.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    entries: Mutex<Vec<Entry>>,
    count: watch::Sender<usize>,
}

impl Default for Shared {
    fn default() -> Self {
        Self { entries: Mutex::default(), count: watch::Sender::new(0) }
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
            let fields = serde_json::from_str(&line.text).unwrap_or_default();
            shared.lock().push(Entry { function: line.function, fields, text: line.text });
            // Not under the lock: the two are never held together.
            shared.count.send_modify(|count| *count += 1);
        })
    }

    /// Where the journal ends now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.shared.lock().len())
    }

    /// What was logged since `mark`.
    #[must_use]
    pub fn since(&self, mark: Mark) -> Vec<Entry> {
        self.shared.lock().get(mark.0..).unwrap_or_default().to_vec()
    }

    /// What was logged since `mark`, which moves behind it; waits until there is something.
    pub async fn next(&self, mark: &mut Mark) -> Vec<Entry> {
        // The sender lives as long as we do: this is no error.
        let _ = self.shared.count.subscribe().wait_for(|count| *count > mark.0).await;
        let entries = self.since(*mark);
        mark.0 += entries.len();
        entries
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

    /// Calls `show` with every line from `mark` on, for ever.
    pub async fn follow(&self, mut mark: Mark, show: impl Fn(&Entry)) {
        loop {
            self.next(&mut mark).await.iter().for_each(&show);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
