//! The log of a run, for humans.

use std::fmt::{self, Display};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The log of a run. The digest always covers all lines; the lines are stored on request only.
#[derive(Debug, Default)]
pub struct Trace {
    stores_lines: bool,
    lines: Vec<Line>,
    digest: DefaultHasher,
    length: usize,
}

/// One line of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// Time in milliseconds since the start.
    pub at: u64,
    /// The actor.
    pub who: String,
    /// The action.
    pub what: String,
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.at / 1000, self.at % 1000);
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        let Self { who, what, .. } = self;
        write!(f, "{days}d {hours:02}:{minutes:02}:{:02}.{millis:03}  {who:<12}  {what}", seconds % 60)
    }
}

/// Summary of a trace for comparison: the same seed gives the same digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Digest {
    /// Hash of all lines.
    pub hash: u64,
    /// Number of lines.
    pub length: usize,
}

impl Trace {
    /// An empty trace.
    #[must_use]
    pub fn new(stores_lines: bool) -> Self {
        Self { stores_lines, ..Self::default() }
    }

    /// Adds a line: time in milliseconds since the start, actor and action.
    pub fn add(&mut self, at: u64, who: impl Display, what: fmt::Arguments<'_>) {
        let line = Line { at, who: who.to_string(), what: what.to_string() };
        (line.at, &line.who, &line.what).hash(&mut self.digest);
        self.length += 1;
        if self.stores_lines {
            self.lines.push(line);
        }
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest { hash: self.digest.finish(), length: self.length }
    }

    /// The lines, if stored.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}
