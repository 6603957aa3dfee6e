//! JSON logs on standard output, where Lambda collects them.

use std::fmt;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::metrics;

/// Starts logging and counting for `function`: one JSON object a line, filtered by `RUST_LOG` (default `info`), with the
/// id of the invocation in `span.requestId`.
///
/// An event that is counted carries a field `counter` with the counter's name; it becomes a metric, whatever the filter:
/// see [`metrics`].
/// Message bodies, full phone numbers and secrets are never logged; see [`Masked`].
pub fn init(function: &'static str) {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let filter = Some(directives.as_str()).filter(|directives| !directives.trim().is_empty());
    let filter = filter.and_then(|directives| EnvFilter::try_new(directives).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false);
    let logs = logs.with_ansi(false).with_filter(filter);
    let counts = metrics::Counts.with_filter(LevelFilter::INFO);
    metrics::init(function);
    // A second start, in a test, is not worth a panic.
    let _ = tracing_subscriber::registry().with(logs).with(counts).try_init();
}

/// A name of Meta's (a type, a status, a webhook field) as it may appear in a log: letters, digits, `_`, `-` and `.`, at
/// most 64 of them. What is no such name may be anything, and is called `strange-name`.
#[must_use]
pub fn plain(name: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let usable = (1..=64).contains(&name.len()) && name.bytes().all(is_plain);
    if usable { name } else { "strange-name" }
}

/// A phone number or user id as it may appear in a log: its last three characters.
///
/// ```
/// assert_eq!(shared::logging::Masked("16505551234").to_string(), "…234");
/// assert_eq!(shared::logging::Masked("123").to_string(), "…");
/// ```
#[derive(Clone, Copy)]
pub struct Masked<'a>(pub &'a str);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match self.0.char_indices().rev().nth(2) {
            Some((start, _)) if self.0.chars().count() >= 8 => &self.0[start..],
            _ => "",
        };
        write!(f, "…{shown}")
    }
}

impl fmt::Debug for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
