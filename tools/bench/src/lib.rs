//! Measures the functions as processes over the real runtime protocol, compared with a function that returns a
//! constant: the baseline. Each figure is printed with its goal, explained in `docs/PERFORMANCE.md`.
//!
//! | module | contents |
//! |---|---|
//! | [`binaries`] | builds the programs as for deployment |
//! | [`functions`] | the programs, their environment and their events |
//! | [`events`] | the events |
//! | [`process`] | starts a program, and measures its resources |
//! | [`usage`] | CPU time and memory of a process |
//! | [`cores`] | a separate core for each side |
//! | [`runtime_api`] | a measuring Lambda runtime API |
//! | [`stubs`] | SQS, Supabase, the Graph API; a listener for TLS |
//! | [`setting`] | the shared setting of all measurements |
//! | [`cold`] | cold starts |
//! | [`warm`] | invocations of a warm process, and its memory |
//! | [`load`] | many messages, large bodies, batches |
//! | [`growth`] | growth of CPU time |
//! | [`history`] | pages of the history in a real PostgreSQL |
//! | [`statistics`] | statistics of several measurements |
//! | [`table`] | figures and their goals |
//! | [`plot`] | the same as an SVG |
//!
//! Everything runs on one thread, so that a function has a core of its own on a machine with two. Functions alternate
//! with the baseline: a temporary disturbance of the machine affects all of them.

pub mod binaries;
pub mod cold;
pub mod cores;
pub mod events;
pub mod functions;
pub mod growth;
pub mod history;
pub mod load;
pub mod plot;
pub mod process;
pub mod runtime_api;
pub mod setting;
pub mod statistics;
pub mod stubs;
pub mod table;
pub mod usage;
pub mod warm;

use std::path::PathBuf;
use std::thread;

use anyhow::Context;
use clap::ValueEnum;
use local_process::Guardian;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::binaries::Built;
use crate::history::Sizes;
use crate::setting::Bench;
use crate::stubs::Stubs;
use crate::table::Row;

/// The parts to measure, and the number of runs.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
    /// Few runs, to test the measurement.
    #[arg(long)]
    short: bool,
    /// Also draw the figures with a goal, as SVG.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measure only these parts.
    #[arg(long, value_delimiter = ',', value_name = "PART")]
    only: Vec<Part>,
    /// Cargo's profile of the functions. With `dev` the figures are meaningless.
    #[arg(long, default_value = "release", value_parser = ["dev", "release"])]
    profile: String,
}

/// A part of the measurement.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Part {
    /// Cold starts: CPU time to the first poll, response and ClientHello.
    Cold,
    /// Invocations of a warm process, and its memory.
    Warm,
    /// Sizes of the programs in bytes.
    Size,
    /// Memory for the largest bodies.
    Memory,
    /// Many messages in one body, and a batch of many senders.
    Batch,
    /// Growth of CPU time with messages, bytes, senders and rows.
    Growth,
    /// Pages of the history in PostgreSQL. Filling it takes minutes.
    History,
}

/// The numbers of runs.
#[derive(Clone, Copy, Debug)]
struct Runs {
    cold: usize,
    warm: usize,
    other: usize,
    pages: usize,
    history: Sizes,
}

impl Runs {
    const LONG: Self = Self {
        cold: 15,
        warm: 2000,
        other: 15,
        pages: 300,
        history: Sizes { few: 1_000, many: 1_000_000, others: 10_000_000 },
    };
    const SHORT: Self = Self {
        cold: 3,
        warm: 50,
        other: 3,
        pages: 10,
        history: Sizes { few: 1_000, many: 20_000, others: 100_000 },
    };
}

/// The result.
#[derive(Debug, Serialize)]
struct Report {
    profile: String,
    rows: Vec<Row>,
}

/// Measures and prints. Missed goals are not an error.
///
/// # Errors
/// When a program does not compile or start, or does not respond as expected.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let guardian = Guardian::start().context("/bin/sh cannot be started")?;
    let built = Built::build(&guardian, &arguments.profile).await?;
    let (done, result) = oneshot::channel();
    // A separate thread, which ends with the process at a signal.
    thread::spawn(move || {
        cores::keep_to_first();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let rows = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
            runtime.block_on(measure(&arguments, guardian, built)).map(|rows| (arguments, rows))
        });
        let _ = done.send(rows);
    });
    let (arguments, rows) = result.await??;
    print(&arguments, rows)
}

async fn measure(arguments: &Arguments, guardian: Guardian, built: Built) -> anyhow::Result<Vec<Row>> {
    let Runs { cold, warm, other, pages, history } = if arguments.short { Runs::SHORT } else { Runs::LONG };
    let is_wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let bench = Bench { built, stubs: Stubs::start().await?, guardian };
    let mut rows = Vec::new();
    if is_wanted(Part::Cold) {
        rows.extend(cold::measure(&bench, cold).await?);
    }
    if is_wanted(Part::Warm) {
        rows.extend(warm::measure(&bench, warm).await?);
    }
    if is_wanted(Part::Size) {
        rows.extend(bench.sizes()?);
    }
    if is_wanted(Part::Batch) {
        rows.extend(load::many_messages(&bench, other).await?);
        rows.extend(load::batch(&bench, other).await?);
    }
    if is_wanted(Part::Memory) {
        rows.extend(load::large_body(&bench, other).await?);
    }
    if is_wanted(Part::Growth) {
        rows.extend(growth::measure(&bench, other).await?);
    }
    if is_wanted(Part::History) {
        rows.extend(history::measure(&bench.guardian, history, pages).await?);
    }
    Ok(rows)
}

fn print(arguments: &Arguments, rows: Vec<Row>) -> anyhow::Result<()> {
    if let Some(path) = &arguments.plot {
        let draw = std::fs::write(path, plot::svg(&rows));
        draw.with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let is_meant = arguments.profile == "release";
    if arguments.json {
        let profile = arguments.profile.clone();
        println!("{}", serde_json::to_string(&Report { profile, rows })?);
        return Ok(());
    }
    print!("{}", table::table(&rows));
    if is_meant && rows.iter().any(|row| row.ok == Some(false)) {
        println!("Reasons for missed goals: docs/PERFORMANCE.md#where-the-time-goes");
    }
    if !is_meant {
        println!(
            "The functions were built with the profile {}: the figures are not meaningful.",
            arguments.profile
        );
    }
    Ok(())
}
