//! `cargo run -p local`: see [`local::cli`].

use std::process::ExitCode;

use local::cli::Cli;

#[tokio::main]
async fn main() -> ExitCode {
    terminal::init();
    match Cli::read().run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
