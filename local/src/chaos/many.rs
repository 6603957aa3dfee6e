//! Many runs, on all processors, and the command that starts them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;

use super::Break;
use super::report::{Outcome, Summary};
use super::run::run;

/// Failing runs whose story is told; of the others only the seed is.
const STORIES: usize = 3;

/// The seed of run `index`. The first is `seed` itself, so that a run can be repeated by its own.
#[must_use]
pub fn seed_of(seed: u64, index: u64) -> u64 {
    seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Runs `runs` worlds. `progress` is told how many are done, now and then.
///
/// # Errors
/// When the simulation itself fails.
pub fn run_many(
    seed: u64,
    runs: u64,
    broken: Option<Break>,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<(Summary, Vec<Outcome>)> {
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= runs || sender.send(run(seed_of(seed, index), broken, false)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut summary = Summary { seed, ..Summary::default() };
        let mut failed = Vec::new();
        for outcome in receiver {
            let outcome = outcome?;
            summary.add(&outcome);
            if !outcome.findings.violations.is_empty() {
                failed.push(outcome);
            }
            progress(summary.runs);
        }
        // The order of the threads must not show.
        summary.failed.sort_unstable();
        failed.sort_by_key(|outcome| outcome.seed);
        Ok((summary, failed))
    })
}

/// The command: runs, prints, and says whether every promise was kept.
///
/// # Errors
/// When the simulation itself fails.
pub async fn command(seed: Option<u64>, runs: u64, json: bool) -> anyhow::Result<bool> {
    let (done, result) = oneshot::channel();
    // A thread of its own, which ends with the process when that is told to stop.
    thread::spawn(move || {
        let _ = done.send(run_and_tell(seed.unwrap_or_else(seed_from_the_clock), runs, json));
    });
    result.await?
}

fn seed_from_the_clock() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since_1970.as_secs() % 1_000_000_000
}

fn run_and_tell(seed: u64, runs: u64, json: bool) -> anyhow::Result<bool> {
    eprintln!("{runs} runs from seed {seed}");
    let mut told = Instant::now();
    let (summary, failed) = run_many(seed, runs, None, |done| {
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            eprintln!("{done} of {runs} runs");
        }
    })?;
    for outcome in failed.iter().take(STORIES) {
        for line in run(outcome.seed, None, true)?.trace {
            eprintln!("{line}");
        }
        for violation in &outcome.findings.violations {
            eprintln!("VIOLATION  {violation}");
        }
        eprintln!("again: chaos --runs 1 --seed {}\n", outcome.seed);
    }
    if json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        println!("{summary}");
    }
    Ok(summary.is_clean())
}
