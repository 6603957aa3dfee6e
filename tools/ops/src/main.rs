//! `cargo run -p ops`: see [`ops`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ops::env_file::EnvFile;
use ops::{dead_letters, doctor};

/// Operates a deployed stack, or the running `local`.
#[derive(Debug, Parser)]
#[command(name = "ops", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// A file of variables. Default: `target/local.env`, the file of a `local` that is running in this
    /// directory.
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead letters, and redrive them: on AWS, or on another endpoint compatible with SQS.
    DeadLetters(dead_letters::DeadLetterArguments),
    /// Check a deployed stack: its URLs, secrets, business number, database; report errors and their remedies.
    /// Exits with 0 if nothing is wrong.
    ///
    /// Reads the functions' own variables: from --secret, then from --env-file, then from the environment. Without
    /// any of them it checks the running `local`. It posts one signed event that is not a message.
    Doctor(doctor::DoctorArguments),
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
