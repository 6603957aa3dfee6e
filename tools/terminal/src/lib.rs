//! What the command lines of this workspace have in common. Results go to standard output, progress and the log to
//! standard error.

use comfy_table::{ContentArrangement, Table, presets};
use tracing_subscriber::EnvFilter;

/// What a shell says of a program that SIGPIPE has ended: 128 and the signal's number.
const CLOSED_PIPE: i32 = 141;

/// Writes the log to standard error, as `LOCAL_LOG` filters it, and ends the process without a word when who reads its
/// output has enough. To be called once, at the start.
pub fn init() {
    end_quietly_on_a_closed_pipe();
    // An empty variable counts as unset. The REST server warns of a known difference at every start.
    let filter = std::env::var("LOCAL_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::new(filter.as_deref().unwrap_or("warn,postrust_server=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Who reads what we print may have enough, as `head` has: then `println!` panics, and that is no bug. What was
/// started ends as it does when we are killed.
fn end_quietly_on_a_closed_pipe() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let closed =
            |said: &str| said.starts_with("failed printing to stdout") && said.contains("os error 32");
        if panic.payload_as_str().is_some_and(closed) {
            std::process::exit(CLOSED_PIPE);
        }
        usual(panic);
    }));
}

/// A step has begun.
pub fn progress(step: &str) {
    eprintln!("… {step}");
}

/// A table without lines, two spaces between its columns, as wide as what is in it.
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
