//! Large inputs: many messages in one body, a large body, a batch of many senders.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::cold::milliseconds;
use crate::events;
use crate::functions::Function;
use crate::setting::Bench;
use crate::statistics::Statistics;
use crate::stubs::{Delays, Kind};
use crate::table::{Goal, Row};

/// Bytes of the largest body that Meta sends. Source: “Webhooks”, WhatsApp Business Platform documentation.
const LARGEST: usize = 3 * 1000 * 1000;

/// Messages of the largest body that Meta sends.
const MANY: usize = 1000;

/// Senders of a batch.
const SENDERS: usize = 10;

/// A medium response time of a service, for measurements that include waiting.
const DELAYS: Delays = Delays {
    queue: Duration::from_millis(5),
    database: Duration::from_millis(10),
    graph: Duration::from_millis(50),
};

/// Measures a thousand messages in one body, in warm processes.
///
/// # Errors
/// When the function does not start, or does not respond as expected.
pub async fn many_messages(bench: &Bench, runs: usize) -> anyhow::Result<Vec<Row>> {
    let (mut cpu, mut at_once, mut calls, mut time) = (Vec::new(), Vec::new(), 0, Vec::new());
    bench.stubs.delay(DELAYS);
    for run in 0..runs {
        bench.progress(format_args!("{MANY} messages in one body, {run} of {runs}"));
        let mut process = bench.start(Function::Webhook).await?;
        process.first_poll().await?;
        process.invoke(vec![Function::Webhook.event(0)?]).await?;
        drop(bench.stubs.take_calls());
        let before = process.cpu()?;
        let body = events::payload(1, MANY, None);
        let invocations = process.invoke(vec![events::webhook(&body)]).await?;
        cpu.push(milliseconds(process.cpu()?.saturating_sub(before)));
        let invocation = invocations.first().context("there was no response")?;
        ensure!(Function::Webhook.is_success(&invocation.answer), "not successful: {:?}", invocation.answer);
        time.push(milliseconds(invocation.answered));
        let called = bench.stubs.take_calls();
        calls = called.count(Kind::Queue);
        at_once.push(called.at_once as f64);
        process.stop().await?;
    }
    bench.stubs.delay(Delays::default());
    let of = || format!("webhook, {MANY} messages");
    let sample = |sample| Statistics::of(sample).context("nothing was measured");
    Ok(vec![
        Row::new("CPU", of(), "ms", None, sample(cpu)?, Goal::AtMost(30.0)),
        Row::new("calls of SQS at once", of(), "calls", None, sample(at_once)?, Goal::AtLeast(2.0))
            .noting(format!("of {calls} calls, each of which takes {} ms", DELAYS.queue.as_millis())),
        Row::new("time", of(), "ms", None, sample(time)?, Goal::None),
    ])
}

/// Measures the additional memory for the largest bodies, relative to their size.
///
/// # Errors
/// When the function does not start, or does not respond as expected.
pub async fn large_body(bench: &Bench, runs: usize) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (messages, of) in [(MANY, "webhook, 3 MB, 1000 messages"), (1, "webhook, 3 MB, 1 message")] {
        let around = events::payload(1, messages, Some(0)).len();
        let body = events::payload(1, messages, Some((LARGEST - around) / messages));
        let mut sample = Vec::new();
        for run in 0..runs {
            bench.progress(format_args!("a body of {} bytes, {run} of {runs}", body.len()));
            let mut process = bench.start(Function::Webhook).await?;
            process.first_poll().await?;
            process.invoke(vec![Function::Webhook.event(0)?]).await?;
            let base = process.peak_memory()?;
            let invocations = process.invoke(vec![events::webhook(&body)]).await?;
            let answer = invocations.first().map(|invocation| invocation.answer.clone()).unwrap_or_default();
            ensure!(Function::Webhook.is_success(&answer), "not successful: {answer:?}");
            sample.push((process.peak_memory()? - base) as f64 / body.len() as f64);
            process.stop().await?;
        }
        let sample = Statistics::of(sample).context("nothing was measured")?;
        rows.push(Row::new("memory by body", of, "× body", None, sample, Goal::AtMost(4.0)));
    }
    Ok(rows)
}

/// Compares a batch of ten senders with ten batches of one.
///
/// # Errors
/// When the function does not start, or does not respond as expected.
pub async fn batch(bench: &Bench, runs: usize) -> anyhow::Result<Vec<Row>> {
    let function = Function::Reply;
    let mut process = bench.start(function).await?;
    process.first_poll().await?;
    // Opens the connections.
    process.invoke(vec![events::reply(0, SENDERS)?]).await?;
    bench.stubs.delay(DELAYS);
    let (mut faster, mut calls, mut remark) = (Vec::new(), Vec::new(), String::new());
    for run in 0..runs {
        bench.progress(format_args!("batches of {SENDERS} senders, {run} of {runs}"));
        drop(bench.stubs.take_calls());
        let one = process.invoke(vec![events::reply(1, 1)?]).await?;
        let called = bench.stubs.take_calls();
        calls.push(called.begun.len() as f64);
        remark = format!("{:?}, {} at once", called.begun, called.at_once);
        let singles: Result<Vec<_>, _> = (1..SENDERS).map(|n| events::reply(n + 1, 1)).collect();
        let singles = process.invoke(singles?).await?;
        let together = process.invoke(vec![events::reply(1, SENDERS)?]).await?;
        for invocation in one.iter().chain(&singles).chain(&together) {
            ensure!(function.is_success(&invocation.answer), "not successful: {:?}", invocation.answer);
        }
        let total = |all: &[crate::runtime_api::Invocation]| {
            all.iter().map(|invocation| invocation.answered).sum::<Duration>().as_secs_f64()
        };
        faster.push((total(&one) + total(&singles)) / total(&together));
    }
    bench.stubs.delay(Delays::default());
    process.stop().await?;
    let sample = |sample| Statistics::of(sample).context("nothing was measured");
    let of = format!("reply, {SENDERS} senders");
    Ok(vec![
        Row::new("batch, one after the other", of, "× faster", None, sample(faster)?, Goal::AtLeast(8.0)),
        Row::new("calls for a message", "reply", "calls", None, sample(calls)?, Goal::AtMost(4.0))
            .noting(remark),
    ])
}
