//! Growth of CPU time: with messages and bytes of a body, rows of a page, senders of a batch.

use anyhow::{Context, ensure};

use crate::cold::milliseconds;
use crate::events;
use crate::functions::Function;
use crate::setting::Bench;
use crate::statistics::Statistics;
use crate::table::{Goal, Row};

/// Invocations before the first measured one.
const WARM_UP: usize = 10;

/// Numbers of messages in a body.
const MESSAGES: [usize; 4] = [1, 10, 100, 1000];
/// Sizes of a message's text in bytes.
const BYTES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Numbers of messages in a page.
const ROWS: [usize; 3] = [1, 50, 200];
/// Numbers of senders in a batch.
const SENDERS: [usize; 3] = [1, 5, 10];

/// Measures the CPU time of an invocation of each size, in a warm process.
///
/// # Errors
/// When a function does not start, or does not respond as expected.
pub async fn measure(bench: &Bench, runs: usize) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for messages in MESSAGES {
        let event = events::webhook(&events::payload(1, messages, None));
        rows.push(row(bench, Function::Webhook, format!("{messages} messages"), event, runs, None).await?);
    }
    for bytes in BYTES {
        let event = events::webhook(&events::payload(1, 1, Some(bytes)));
        rows.push(
            row(bench, Function::Webhook, format!("a text of {bytes} bytes"), event, runs, None).await?,
        );
    }
    for senders in SENDERS {
        let event = events::reply(1, senders)?;
        rows.push(row(bench, Function::Reply, format!("{senders} senders"), event, runs, None).await?);
    }
    for count in ROWS {
        let event = events::messages(count);
        let row = row(bench, Function::Messages, format!("{count} rows"), event, runs, Some(count)).await?;
        rows.push(row);
    }
    Ok(rows)
}

async fn row(
    bench: &Bench,
    function: Function,
    what: String,
    event: String,
    runs: usize,
    page: Option<usize>,
) -> anyhow::Result<Row> {
    bench.progress(format_args!("{}, {what}", function.name()));
    let mut process = bench.start(function).await?;
    process.first_poll().await?;
    process.invoke(vec![event.clone(); WARM_UP]).await?;
    let mut sample = Vec::new();
    for _ in 0..runs {
        let before = process.cpu()?;
        let invocations = process.invoke(vec![event.clone()]).await?;
        sample.push(milliseconds(process.cpu()?.saturating_sub(before)));
        let answer = invocations.first().map(|invocation| invocation.answer.clone()).unwrap_or_default();
        ensure!(function.is_success(&answer), "{}: {answer:?}", function.name());
        if let Some(rows) = page {
            let got = Function::page_size(&answer);
            ensure!(got == rows, "a page of {got} rows instead of {rows}");
        }
    }
    process.stop().await?;
    let sample = Statistics::of(sample).context("nothing was measured")?;
    Ok(Row::new("CPU, growing", format!("{}, {what}", function.name()), "ms", None, sample, Goal::None))
}
