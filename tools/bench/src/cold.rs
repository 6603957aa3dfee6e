//! Cold starts: CPU time from the start of a process to its first poll, its first response, and its first TLS
//! ClientHello.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::functions::{Function, PAGE};
use crate::process::Process;
use crate::setting::Bench;
use crate::statistics::Statistics;
use crate::stubs::Tls;
use crate::table::{Goal, Row};

/// How long a ClientHello may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The measurements of each cold start, in milliseconds, by function.
#[derive(Default)]
struct Starts {
    first_poll_cpu: Vec<f64>,
    first_poll: Vec<f64>,
    first_answer_cpu: Vec<f64>,
    first_answer: Vec<f64>,
    client_hello: Vec<f64>,
}

/// Starts all functions alternately, `runs` times.
///
/// # Errors
/// When a function does not start, or does not respond as expected.
pub async fn measure(bench: &Bench, runs: usize) -> anyhow::Result<Vec<Row>> {
    let mut starts: BTreeMap<Function, Starts> = BTreeMap::new();
    // The first run is discarded: it reads the programs from disk.
    for run in 0..=runs {
        bench.progress(format_args!("cold starts, {run} of {runs}"));
        for function in Function::ALL {
            let mut discarded = Starts::default();
            let starts = if run == 0 { &mut discarded } else { starts.entry(function).or_default() };
            start(bench, function, run, starts)
                .await
                .with_context(|| format!("{} (cold)", function.name()))?;
        }
    }
    rows(&starts)
}

async fn start(bench: &Bench, function: Function, run: usize, starts: &mut Starts) -> anyhow::Result<()> {
    let mut process = bench.start(function).await?;
    let start = process.first_poll().await?;
    let invocations = process.invoke(vec![function.event(run)?]).await?;
    let invocation = invocations.first().context("there was no response")?;
    ensure!(function.is_success(&invocation.answer), "not successful: {:?}", invocation.answer);
    if function == Function::Messages {
        let rows = Function::page_size(&invocation.answer);
        ensure!(rows == PAGE, "a page of {rows} rows instead of {PAGE}");
    }
    starts.first_poll_cpu.push(milliseconds(start.cpu));
    starts.first_poll.push(milliseconds(start.elapsed));
    starts.first_answer_cpu.push(milliseconds(invocation.cpu_at_answer));
    starts.first_answer.push(milliseconds(start.elapsed + invocation.answered));
    process.stop().await?;
    if function != Function::Baseline {
        starts.client_hello.push(milliseconds(hello(bench, function, run).await?));
    }
    Ok(())
}

/// Returns the CPU time until the ClientHello to a service at an `https` URL, before or after the first poll.
async fn hello(bench: &Bench, function: Function, run: usize) -> anyhow::Result<Duration> {
    let tls = Tls::start().await?;
    let environment = function.environment(&tls.url()?);
    let process = Process::start(&bench.guardian, function.binary(&bench.built), &environment).await?;
    process.give(function.event(run)?);
    let hello =
        tokio::time::timeout(PATIENCE, tls.hello(process.pid())).await.context("no ClientHello")??;
    process.stop().await?;
    Ok(hello)
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn rows(starts: &BTreeMap<Function, Starts>) -> anyhow::Result<Vec<Row>> {
    let sample = |function: Function, of: fn(&Starts) -> &Vec<f64>| {
        let sample = starts.get(&function).map(of).into_iter().flatten().copied();
        Statistics::of(sample).with_context(|| format!("{} was not measured", function.name()))
    };
    let mut rows = Vec::new();
    let mut add = |name, function: Function, of: fn(&Starts) -> &Vec<f64>, goal| {
        let baseline = sample(Function::Baseline, of)?;
        rows.push(Row::new(name, function.name(), "ms", Some(baseline), sample(function, of)?, goal));
        anyhow::Ok(())
    };
    for function in Function::OURS {
        add("CPU to the first poll", function, |starts| &starts.first_poll_cpu, Goal::RatioAtMost(2.0))?;
    }
    for function in Function::OURS {
        let goal = match function {
            Function::Webhook => Goal::RatioAtMost(2.5),
            Function::Messages => Goal::RatioAtMost(4.0),
            _ => Goal::None,
        };
        add("CPU to the first answer", function, |starts| &starts.first_answer_cpu, goal)?;
    }
    for function in Function::OURS {
        add("time to the first poll", function, |starts| &starts.first_poll, Goal::None)?;
    }
    for function in Function::OURS {
        add("time to the first answer", function, |starts| &starts.first_answer, Goal::None)?;
    }
    for function in Function::OURS {
        let hello = sample(function, |starts| &starts.client_hello)?;
        rows.push(Row::new(
            "CPU to the first ClientHello",
            function.name(),
            "ms",
            None,
            hello,
            Goal::AtMost(5.0),
        ));
    }
    Ok(rows)
}
