//! Output of the processes on standard output and standard error, line by line.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Output stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line, without its line break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Name of the function.
    pub function: Arc<str>,
    /// Process id.
    pub pid: u32,
    /// Output stream of the line.
    pub stream: Stream,
    /// The line; invalid UTF-8 is replaced.
    pub text: String,
}

/// Receiver of the lines; called from several tasks, must not block.
#[derive(Clone)]
pub struct LogSink(Arc<dyn Fn(LogLine) + Send + Sync>);

impl LogSink {
    /// Calls `sink` with each line.
    pub fn new(sink: impl Fn(LogLine) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Drops every line.
    #[must_use]
    pub fn discard() -> Self {
        Self::new(drop)
    }

    /// Collects every line in memory.
    #[must_use]
    pub fn collect() -> (Self, Logs) {
        let logs = Logs::default();
        let lines = Arc::clone(&logs.0);
        (Self::new(move |line| lines.lock().unwrap_or_else(PoisonError::into_inner).push(line)), logs)
    }

    pub(crate) fn write(&self, line: LogLine) {
        (self.0)(line);
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogSink")
    }
}

/// The lines of [`LogSink::collect`].
#[derive(Clone, Debug, Default)]
pub struct Logs(Arc<Mutex<Vec<LogLine>>>);

impl Logs {
    /// All lines so far, in reading order.
    #[must_use]
    pub fn lines(&self) -> Vec<LogLine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Copies `from` to `sink` until it is closed.
pub(crate) async fn forward(
    from: impl AsyncRead + Unpin,
    sink: LogSink,
    function: Arc<str>,
    pid: u32,
    stream: Stream,
) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    // Not `lines()`, which stops at the first byte that is not UTF-8.
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        while matches!(line.last(), Some(b'\n' | b'\r')) {
            line.pop();
        }
        let text = String::from_utf8_lossy(&line).into_owned();
        sink.write(LogLine { function: Arc::clone(&function), pid, stream, text });
        line.clear();
    }
}
