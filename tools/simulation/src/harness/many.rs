//! Many runs, on all processors.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::harness::report::{Outcome, Summary};
use crate::harness::run::{Variant, run};

/// The seed of run `index`. The first is `seed` itself, so that a run can be repeated by its seed.
#[must_use]
pub fn seed_of(seed: u64, index: u64) -> u64 {
    seed.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Runs `runs` worlds. `progress` receives the number of finished runs.
///
/// # Errors
/// If the simulation itself fails.
pub fn run_many(
    seed: u64,
    runs: u64,
    variant: impl Into<Variant>,
    mut progress: impl FnMut(u64),
) -> anyhow::Result<(Summary, Vec<Outcome>)> {
    let variant = variant.into();
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= runs || sender.send(run(seed_of(seed, index), variant, false)).is_err() {
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
        // The result must not depend on the order of the threads.
        summary.failed.sort_unstable();
        failed.sort_by_key(|outcome| outcome.seed);
        Ok((summary, failed))
    })
}
