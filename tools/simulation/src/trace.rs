//! What happened, in the order in which it did, for a person to read.

use std::fmt::{self, Display};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The story of a run. Its digest is always kept, its lines only when somebody will read them.
#[derive(Debug, Default)]
pub struct Trace {
    keeps_lines: bool,
    lines: Vec<Line>,
    digest: DefaultHasher,
    length: usize,
}

/// Something that happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// When, in milliseconds since the start.
    pub at: u64,
    /// Who did it.
    pub who: String,
    /// What they did.
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

/// How a run went, in short: the same seed gives the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Digest {
    /// Of every line.
    pub hash: u64,
    /// How many lines there are.
    pub length: usize,
}

impl Trace {
    /// An empty story.
    #[must_use]
    pub fn new(keeps_lines: bool) -> Self {
        Self { keeps_lines, ..Self::default() }
    }

    /// Adds a line: `at` in milliseconds since the start, who, and what.
    pub fn add(&mut self, at: u64, who: impl Display, what: fmt::Arguments<'_>) {
        let line = Line { at, who: who.to_string(), what: what.to_string() };
        (line.at, &line.who, &line.what).hash(&mut self.digest);
        self.length += 1;
        if self.keeps_lines {
            self.lines.push(line);
        }
    }

    /// Its digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest { hash: self.digest.finish(), length: self.length }
    }

    /// Its lines, if they were kept.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}
