//! JSON logs on standard output, from which Lambda collects them.

use std::fmt;
use std::panic::PanicHookInfo;

use tracing::field::DisplayValue;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::lambda::metrics;

/// Starts logging and counting for `function`: one JSON object per line, filtered by `RUST_LOG` (a level, and levels
/// for modules: `warn,webhook=debug`; default `info`), with the id of the invocation in `span.requestId`.
///
/// A line with a field `counter`, the name of a counter, becomes a metric, independent of the filter: see [`metrics`].
/// Message bodies, full phone numbers and secrets are never logged; see [`Masked`] and [`ShortWamid`].
pub fn init(function: &'static str) {
    let directives = std::env::var("RUST_LOG").unwrap_or_default();
    let filter = Some(directives.as_str()).filter(|directives| !directives.trim().is_empty());
    // `EnvFilter` is not used: its regular expressions, for the fields of spans, are 180 kB of code.
    let filter = filter.and_then(|directives| directives.parse().ok());
    let filter: Targets = filter.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let logs = tracing_subscriber::fmt::layer().json().flatten_event(true).with_span_list(false);
    let logs = logs.with_ansi(false).with_filter(filter);
    let counts = metrics::Counts::of_this_version().with_filter(LevelFilter::INFO);
    metrics::init(function);
    // A second initialization, in a test, is ignored.
    let _ = tracing_subscriber::registry().with(logs).with(counts).try_init();
    std::panic::set_hook(Box::new(log_panic));
}

/// Logs the location of a panic, without its message, which may quote personal data. Replaces the default hook, which
/// does not write JSON.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(tracing::field::display);
    tracing::error!(location, "panicked");
}

/// Returns a name of Meta's (a type, a status, a webhook field) in a form that may be logged: at most 64 letters,
/// digits, `_`, `-` and `.`, without seven digits in a row, which may be a phone number. Any other string is replaced
/// by `strange-name`.
///
/// ```
/// # use shared::lambda::logging::plain;
/// assert_eq!(plain("message_template_status_update"), "message_template_status_update");
/// assert_eq!(plain("16505551234"), "strange-name");
/// assert_eq!(plain("two words"), "strange-name");
/// ```
#[must_use]
pub fn plain(name: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let is_number = name.split(|character: char| !character.is_ascii_digit()).any(|digits| digits.len() >= 7);
    let usable = (1..=64).contains(&name.len()) && name.bytes().all(is_plain) && !is_number;
    if usable { name } else { "strange-name" }
}

/// A phone number or user id in a form that may be logged: its last three characters.
///
/// ```
/// assert_eq!(shared::lambda::logging::Masked("16505551234").to_string(), "…234");
/// assert_eq!(shared::lambda::logging::Masked("123").to_string(), "…");
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

/// Number of characters of a wamid in a log: enough to distinguish messages, and none of the phone number's.
const WAMID_TAIL: usize = 16;

/// A message id of Meta's (wamid) in a form that may be logged: its last 16 characters.
///
/// A wamid is `wamid.` and base64 of the user's phone number, the message's own id and a zero byte, in this order:
/// `1C 18 0B "16503879439" 15 02 00 12 18 14 "3A4A6599AEE03810144F" 00` (as found in Meta's OpenAPI description v23.0 and
/// in sample payloads of its documentation, November 2026; ids have 10 to 20 characters there). Sixteen characters of
/// base64 are at most 12 bytes, so they are part of the id.
///
/// ```
/// use shared::lambda::logging::ShortWamid;
///
/// let wamid = "wamid.HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=";
/// assert_eq!(ShortWamid::of(wamid).to_string(), "RTAzODEwMTQ0RgA=");
/// assert_eq!(ShortWamid::of("wamid.1").to_string(), "wamid.1");
/// ```
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct ShortWamid<'a>(&'a str);

impl<'a> ShortWamid<'a> {
    /// Shortens a wamid; a short one is unchanged.
    #[must_use]
    pub fn of(wamid: &'a str) -> Self {
        let start = wamid.char_indices().rev().nth(WAMID_TAIL - 1).map_or(0, |(start, _)| start);
        Self(&wamid[start..])
    }

    /// Shortens a wamid for a field of a log line.
    #[must_use]
    pub fn field(wamid: &'a str) -> DisplayValue<Self> {
        tracing::field::display(Self::of(wamid))
    }

    /// Returns the shortened wamid.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for ShortWamid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for ShortWamid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
