//! The command line: runs, violations and summary.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;

use crate::harness::many::run_many;
use crate::harness::run::{Variant, run};
use crate::model::trace::Line;

/// Number of failing runs with a trace excerpt; the others are listed by seed only.
const EXCERPTS: usize = 3;

/// Maximum length of an excerpt in lines, from its end; a single run prints the whole trace.
const LINES: usize = 300;

/// Runs the production code of the three functions over models of the services around them, on virtual time,
/// with faults drawn from a seed, and checks every guarantee. The exit code is 0 if all guarantees hold.
/// Build it with `--release`.
#[derive(Debug, Parser)]
#[command(name = "simulation", version)]
pub struct Arguments {
    /// Number of runs.
    #[arg(long, default_value_t = 1000)]
    runs: u64,
    /// First seed; drawn from the clock by default. With `--runs 1`, exactly that run.
    #[arg(long)]
    seed: Option<u64>,
    /// `REPLY_WINDOW` of all runs, in milliseconds; each run draws its own by default.
    #[arg(long)]
    window: Option<u64>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Runs, prints, and returns whether every guarantee held.
    ///
    /// # Errors
    /// If the simulation itself fails.
    pub fn run(self) -> anyhow::Result<bool> {
        let variant = Variant { defect: None, window: self.window.map(Duration::from_millis) };
        run_and_report(self.seed.unwrap_or_else(seed_from_the_clock), self.runs, variant, self.json)
    }
}

/// The part of a trace about the messages in the violations: the lines that name them, the other lines of the
/// actors involved, and faults at the same times.
fn excerpt(trace: &[Line], violations: &[String]) -> Vec<String> {
    let words = violations.iter().flat_map(|violation| violation.split([' ', ':', ',']));
    let wamids: BTreeSet<&str> =
        words.filter(|word| word.starts_with("wamid.") || word.starts_with("event.")).collect();
    let names = |line: &Line| wamids.iter().any(|wamid| line.what.contains(wamid));
    let actors: BTreeSet<&str> =
        trace.iter().filter(|line| names(line)).map(|line| line.who.as_str()).collect();
    let moments: BTreeSet<u64> = trace.iter().filter(|line| names(line)).map(|line| line.at).collect();
    let mut excerpt: Vec<String> = trace
        .iter()
        .filter(|line| {
            let busy = actors.contains(line.who.as_str())
                && !["Meta", "Graph", "database"].contains(&line.who.as_str());
            names(line)
                || busy
                || (line.who == "fault" && moments.contains(&line.at))
                || line.who == "operator"
        })
        .map(ToString::to_string)
        .collect();
    if excerpt.len() > LINES {
        excerpt.drain(..excerpt.len() - LINES);
        excerpt.insert(0, "…".to_owned());
    }
    excerpt
}

fn seed_from_the_clock() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since_1970.as_secs() % 1_000_000_000
}

fn run_and_report(seed: u64, runs: u64, variant: Variant, json: bool) -> anyhow::Result<bool> {
    eprintln!("{runs} runs from seed {seed}");
    let mut reported = Instant::now();
    let (summary, failed) = run_many(seed, runs, variant, |done| {
        if reported.elapsed() > Duration::from_secs(5) {
            reported = Instant::now();
            eprintln!("{done} of {runs} runs");
        }
    })?;
    for (index, outcome) in failed.iter().enumerate() {
        if runs == 1 {
            run(outcome.seed, variant, true)?.trace.iter().for_each(|line| eprintln!("{line}"));
        } else if index < EXCERPTS {
            let trace = run(outcome.seed, variant, true)?.trace;
            excerpt(&trace, &outcome.findings.violations).iter().for_each(|line| eprintln!("{line}"));
        }
        for violation in &outcome.findings.violations {
            eprintln!("VIOLATION  {violation}");
        }
        let window = variant.window.map(|window| format!(" --window {}", window.as_millis()));
        eprintln!("again: simulation --runs 1 --seed {}{}\n", outcome.seed, window.unwrap_or_default());
    }
    if json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        println!("{summary}");
    }
    Ok(summary.is_clean())
}
