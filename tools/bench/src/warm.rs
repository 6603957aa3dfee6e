//! Invocations of warm processes.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};

use crate::functions::{Function, PAGE};
use crate::process::Process;
use crate::setting::Bench;
use crate::statistics::Statistics;
use crate::table::{Goal, Row};

/// Consecutive invocations of one function, before the next function.
const ROUND: usize = 100;

/// Invocations before the first measured one, in which connections are opened and memory is allocated.
const WARM_UP: usize = 20;

/// The measurements of a function, in microseconds.
#[derive(Default)]
struct Warm {
    cycles: Vec<f64>,
    cpu: Vec<f64>,
}

/// Invokes all functions alternately, each `runs` times; also measures their memory.
///
/// # Errors
/// When a function does not respond as expected.
pub async fn measure(bench: &Bench, runs: usize) -> anyhow::Result<Vec<Row>> {
    let mut processes = Vec::new();
    let mut warm: BTreeMap<Function, Warm> = BTreeMap::new();
    for function in Function::ALL {
        let mut process = bench.start(function).await?;
        process.first_poll().await?;
        invoke(&mut process, function, 0, WARM_UP, &mut Warm::default()).await?;
        processes.push((function, process));
    }
    let mut done = 0;
    while done < runs {
        let round = ROUND.min(runs - done);
        bench.progress(format_args!("warm invocations, {done} of {runs}"));
        for (function, process) in &mut processes {
            let warm = warm.entry(*function).or_default();
            invoke(process, *function, WARM_UP + done, round, warm).await?;
        }
        done += round;
    }
    let mut peaks = BTreeMap::new();
    for (function, process) in processes {
        peaks.insert(function, process.peak_memory()? as f64 / 1e6);
        process.stop().await?;
    }
    rows(&warm, &peaks)
}

async fn invoke(
    process: &mut Process,
    function: Function,
    first: usize,
    count: usize,
    warm: &mut Warm,
) -> anyhow::Result<()> {
    let events: anyhow::Result<Vec<String>> = (first..first + count).map(|n| function.event(n)).collect();
    let before = process.cpu()?;
    let invocations = process.invoke(events?).await.with_context(|| format!("{} (warm)", function.name()))?;
    let cpu = process.cpu()?.saturating_sub(before);
    ensure!(invocations.len() == count, "{} of {count} responses", invocations.len());
    for invocation in &invocations {
        ensure!(function.is_success(&invocation.answer), "{}: {:?}", function.name(), invocation.answer);
        if function == Function::Messages {
            let rows = Function::page_size(&invocation.answer);
            ensure!(rows == PAGE, "a page of {rows} rows instead of {PAGE}");
        }
        warm.cycles.push(invocation.cycle.as_secs_f64() * 1e6);
    }
    warm.cpu.push(cpu.as_secs_f64() * 1e6 / count as f64);
    Ok(())
}

fn rows(warm: &BTreeMap<Function, Warm>, peaks: &BTreeMap<Function, f64>) -> anyhow::Result<Vec<Row>> {
    let sample = |function: Function, of: fn(&Warm) -> &Vec<f64>| {
        let sample = warm.get(&function).map(of).into_iter().flatten().copied();
        Statistics::of(sample).with_context(|| format!("{} was not measured", function.name()))
    };
    let mut rows = Vec::new();
    for function in Function::OURS {
        let goal = match function {
            Function::Webhook => Goal::RatioAtMost(3.0),
            Function::Messages => Goal::RatioAtMost(4.0),
            _ => Goal::None,
        };
        let baseline = sample(Function::Baseline, |warm| &warm.cycles)?;
        let figure = sample(function, |warm| &warm.cycles)?;
        rows.push(Row::new("warm, p50", function.name(), "µs", Some(baseline), figure, goal));
        let p95 = |statistics: Statistics| Statistics::of([statistics.p95]);
        if let (baseline @ Some(_), Some(figure)) = (p95(baseline), p95(figure)) {
            rows.push(Row::new("warm, p95", function.name(), "µs", baseline, figure, Goal::None));
        }
    }
    for function in Function::OURS {
        let baseline = Some(sample(Function::Baseline, |warm| &warm.cpu)?);
        let figure = sample(function, |warm| &warm.cpu)?;
        rows.push(Row::new("CPU of a warm invocation", function.name(), "µs", baseline, figure, Goal::None));
    }
    let peak = |function| Statistics::of(peaks.get(&function).copied()).context("no memory was measured");
    for function in Function::OURS {
        let baseline = Some(peak(Function::Baseline)?);
        rows.push(Row::new(
            "peak memory",
            function.name(),
            "MB",
            baseline,
            peak(function)?,
            Goal::AtMost(16.0),
        ));
    }
    Ok(rows)
}
