//! The command line: runs, tells what went wrong, and sums up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;

use super::many::run_many;
use super::run::run;
use super::trace::Line;

/// Failing runs whose story is told; of the others only the seed is.
const STORIES: usize = 3;

/// Lines of a story at most, from its end; the run alone tells all.
const LINES: usize = 300;

/// Runs the production code of the three functions over models of everything around them, on virtual time, with faults
/// drawn from a seed, and checks every guarantee. Ends with 0 if all of them hold. Build it with `--release`.
#[derive(Debug, Parser)]
#[command(name = "simulation", version)]
pub struct Arguments {
    /// How many runs.
    #[arg(long, default_value_t = 1000)]
    runs: u64,
    /// Where to begin; drawn from the clock unless given. With `--runs 1`, exactly that run.
    #[arg(long)]
    seed: Option<u64>,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Runs, prints, and says whether every guarantee was kept.
    ///
    /// # Errors
    /// When the simulation itself fails.
    pub fn run(self) -> anyhow::Result<bool> {
        run_and_tell(self.seed.unwrap_or_else(seed_from_the_clock), self.runs, self.json)
    }
}

/// What of a trace is about the messages that the violations name: the lines that name them, and what else
/// happened at these moments to those who were busy with them.
fn story(trace: &[Line], violations: &[String]) -> Vec<String> {
    let words = violations.iter().flat_map(|violation| violation.split([' ', ':', ',']));
    let wamids: BTreeSet<&str> =
        words.filter(|word| word.starts_with("wamid.") || word.starts_with("event.")).collect();
    let names = |line: &Line| wamids.iter().any(|wamid| line.what.contains(wamid));
    let actors: BTreeSet<&str> =
        trace.iter().filter(|line| names(line)).map(|line| line.who.as_str()).collect();
    let moments: BTreeSet<u64> = trace.iter().filter(|line| names(line)).map(|line| line.at).collect();
    let mut story: Vec<String> = trace
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
    if story.len() > LINES {
        story.drain(..story.len() - LINES);
        story.insert(0, "…".to_owned());
    }
    story
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
    for (index, outcome) in failed.iter().enumerate() {
        if runs == 1 {
            run(outcome.seed, None, true)?.trace.iter().for_each(|line| eprintln!("{line}"));
        } else if index < STORIES {
            let trace = run(outcome.seed, None, true)?.trace;
            story(&trace, &outcome.findings.violations).iter().for_each(|line| eprintln!("{line}"));
        }
        for violation in &outcome.findings.violations {
            eprintln!("VIOLATION  {violation}");
        }
        eprintln!("again: simulation --runs 1 --seed {}\n", outcome.seed);
    }
    if json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        println!("{summary}");
    }
    Ok(summary.is_clean())
}
