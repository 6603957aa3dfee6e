//! Shared code of this workspace's command lines. Results go to standard output, progress and the log to standard
//! error.

use comfy_table::{ContentArrangement, Table, presets};
use tracing_subscriber::EnvFilter;

/// A shell's exit status for a program ended by SIGPIPE: 128 plus the signal's number.
const CLOSED_PIPE: i32 = 141;

/// Writes the log to standard error, filtered by `LOCAL_LOG`, and ends the process silently when the reader of its
/// output closes the pipe. To be called once, at the start.
pub fn init() {
    exit_silently_on_a_closed_pipe();
    // An empty variable counts as unset. The REST server logs a warning about a known difference at every start.
    let filter = std::env::var("LOCAL_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::new(filter.as_deref().unwrap_or("warn,postrust_server=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Exits silently when the reader closes the pipe, as `head` does: then `println!` panics, which is not a bug. Child
/// processes end as after a kill.
fn exit_silently_on_a_closed_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let closed = |message: &str| {
            message.starts_with("failed printing to stdout") && message.contains("os error 32")
        };
        if panic.payload_as_str().is_some_and(closed) {
            std::process::exit(CLOSED_PIPE);
        }
        usual(panic);
    }));
}

/// Prints the start of a step.
pub fn progress(step: &str) {
    eprintln!("… {step}");
}

/// Returns a table without borders, with two spaces between its columns, as wide as its content.
#[must_use]
pub fn table<const N: usize>(head: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(head);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}
