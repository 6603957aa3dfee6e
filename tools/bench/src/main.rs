//! `cargo run --release -p bench`: see [`bench`].

use std::process::ExitCode;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(
    name = "bench",
    version,
    about = "Measures the functions as whole processes beside a baseline function"
)]
struct Cli {
    #[command(flatten)]
    arguments: bench::Arguments,
}

#[tokio::main]
async fn main() -> ExitCode {
    terminal::init();
    match bench::run(Cli::parse().arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
