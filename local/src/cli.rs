//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{demo, link_demo, load, replay, up};
use local_stack::Options;

/// The WhatsApp back end on this machine: no Docker, no AWS account, no Meta account.
///
/// Without a command it starts everything, sends one sample message and stays up.
#[derive(Debug, Parser)]
#[command(name = "local", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send one signed sample webhook, show its outcome, and exit: 0 if every step was as expected.
    Demo {
        /// Link a number instead: the registration text, a code, its confirmation, a recorded reply.
        #[arg(long)]
        link: bool,
        /// Print the result as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Post payload files, signed, and report the outcome of each.
    Replay {
        /// Files (one payload, an array of payloads, an object of named payloads, or one JSON per line) and
        /// directories of them.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Print one JSON object per payload.
        #[arg(long)]
        json: bool,
        /// Send every payload unchanged. By default a wamid that an earlier payload of the run has used is replaced,
        /// because the queue would discard its message as a duplicate; with `--sqs-endpoint` every wamid is replaced.
        #[arg(long)]
        keep_ids: bool,
    },
    /// Send many messages and print times, lost messages, duplicates, and memory.
    Load {
        /// The number of messages.
        #[arg(long, default_value_t = 10_000)]
        messages: usize,
        /// The number of senders. More than 30 turns of one sender within five minutes are treated as a loop.
        #[arg(long, default_value_t = 500)]
        senders: usize,
        /// Send bursts of 2 to 5 messages of a sender instead of single ones; see `--reply-window`.
        #[arg(long)]
        bursts: bool,
        /// Print the result as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Start the services without the functions, for `cargo lambda watch`, and stay up.
    Services,
}

impl Cli {
    /// Reads the command line and the environment; an empty variable counts as unset. Ends the process after
    /// `--help`, or when an argument is invalid.
    #[must_use]
    pub fn read() -> Self {
        let command = Self::command().mut_args(|arg| {
            let value = arg.get_env().and_then(std::env::var_os);
            if value.is_some_and(|value| value.is_empty()) { arg.env(None) } else { arg }
        });
        Self::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
    }

    /// Runs the command until it ends, or until Ctrl-C, SIGTERM or SIGHUP, and stops everything it started.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let options = &self.options;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = if hangup_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        let hung_up = async move {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let stop_signal = async move {
            tokio::select! {
                _ = hung_up => ExitCode::from(129),
                _ = interrupt.recv() => ExitCode::from(130),
                _ = terminate.recv() => ExitCode::from(143),
            }
        };
        match self.command {
            // These run until a signal stops them.
            None => up::run(options, stop_signal).await?,
            Some(Command::Services) => up::services(options, stop_signal).await?,
            Some(Command::Demo { link: false, json }) => {
                return until(stop_signal, demo::run(options, json)).await;
            }
            Some(Command::Demo { link: true, json }) => {
                return until(stop_signal, link_demo::run(options, json)).await;
            }
            Some(Command::Load { messages, senders, bursts, json }) => {
                let profile = load::Profile { messages, senders, bursts };
                return until(stop_signal, load::run(options, profile, json)).await;
            }
            Some(Command::Replay { paths, json, keep_ids }) => {
                return until(stop_signal, replay::run(options, &paths, json, keep_ids)).await;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns whether SIGHUP is ignored, as under `nohup`: then the program continues after the terminal closes.
#[cfg(target_os = "linux")]
fn hangup_is_ignored() -> bool {
    let status = procfs::process::Process::myself().and_then(|us| us.status());
    // A bit for each signal; SIGHUP is the first. Source: proc_pid_status(5).
    status.is_ok_and(|status| status.sigign & 1 == 1)
}

/// Returns false: the signal mask is not known.
#[cfg(not(target_os = "linux"))]
fn hangup_is_ignored() -> bool {
    false
}

/// Runs `work` until a signal; then `work` is dropped, which ends everything it has started.
async fn until(
    stop_signal: impl Future<Output = ExitCode>,
    work: impl Future<Output = anyhow::Result<bool>>,
) -> anyhow::Result<ExitCode> {
    tokio::select! {
        as_expected = work => Ok(if as_expected? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        code = stop_signal => Ok(code),
    }
}
