//! `cargo run -p ops`: see [`ops`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ops::env_file::EnvFile;
use ops::{dead_letters, doctor};

/// Operates a deployed stack, or the `local` that is running.
#[derive(Debug, Parser)]
#[command(name = "ops", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// A file of variables. Unless given: `target/local.env`, where a `local` that is running in this directory has
    /// written its own.
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at dead letters, and send them again: on AWS, or on another endpoint that speaks SQS.
    DeadLetters(dead_letters::Arguments),
    /// Check a deployed stack: its addresses, secrets, business number, database; say what is wrong and what to do.
    /// Ends with 0 if nothing is.
    ///
    /// Reads the functions' own variables: from --secret, then from --env-file, then from the environment. Without
    /// any of them it checks the `local` that is running. It posts one signed event that is no message.
    Doctor(doctor::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    terminal::init();
    let Cli { command, env_file } = Cli::parse();
    let env_file = EnvFile::of(env_file.as_deref());
    let done = match command {
        Command::DeadLetters(arguments) => dead_letters::run(&arguments, env_file).await,
        Command::Doctor(arguments) => doctor::run(&arguments, env_file).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
