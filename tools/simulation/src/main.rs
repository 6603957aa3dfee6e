//! `cargo run -p simulation`: see [`simulation::harness::command`].

use std::process::ExitCode;

use clap::Parser;
use simulation::harness::command::Arguments;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
