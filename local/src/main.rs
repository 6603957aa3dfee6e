//! `cargo run -p local`: see [`local::cli`].

use std::process::ExitCode;

use local::cli::Cli;
use tracing_subscriber::EnvFilter;

/// What a shell says of a program that SIGPIPE has ended: 128 and the signal's number.
const CLOSED_PIPE: i32 = 141;

#[tokio::main]
async fn main() -> ExitCode {
    end_quietly_on_a_closed_pipe();
    // An empty variable counts as unset. The REST server warns of a known difference at every start.
    let filter = std::env::var("LOCAL_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = EnvFilter::new(filter.as_deref().unwrap_or("warn,postrust_server=error"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Cli::read().run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
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
