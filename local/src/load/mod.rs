//! Many messages through the real binaries: time, what was lost, what came twice, memory.

mod post;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use anyhow::ensure;
use serde::Serialize;

use crate::memory::{self, Memory};
use local_stack::supabase::CREATED_BY;
use local_stack::{Options, Stack};
use post::wamid;
use watch::Watch;

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct Load {
    /// Messages sent.
    pub messages: usize,
    /// Different senders.
    pub senders: usize,
    /// POSTs that carried them.
    pub posts: usize,
    /// From the first POST to the last one's answer, in seconds.
    pub accepted_after: f64,
    /// From the first POST to the last row, or to the end of the wait for it, in seconds.
    pub recorded_after: f64,
    /// Messages without an echo or without both rows.
    pub lost: usize,
    /// Echoes beyond the first of their message.
    pub second_echoes: usize,
    /// Rows beyond the two of each message.
    pub extra_rows: usize,
    /// Echoes that came before that of an earlier question of their sender.
    pub out_of_order: usize,
    /// Warnings and errors that the functions logged, by their counter: each is a detour, and takes its time.
    pub warnings: BTreeMap<String, usize>,
    /// Why the wait ended before all was done, and what was missing then; empty when nothing was.
    pub missing: Vec<String>,
    /// Memory by program: before the first POST, when a third was answered, and at the end.
    pub memory: BTreeMap<String, [Memory; 3]>,
    /// CPU time of each program from the first POST to the end, in seconds.
    pub cpu: BTreeMap<String, f64>,
}

/// Starts everything, sends `messages` of `senders`, prints what became of them. Whether nothing was lost,
/// doubled or out of order.
///
/// # Errors
/// When something cannot be started, or a POST is refused.
pub async fn run(options: &Options, messages: usize, senders: usize, as_json: bool) -> anyhow::Result<bool> {
    ensure!(messages > 0 && senders > 0, "there must be a message and a sender");
    let stack = Stack::start(options, terminal::progress).await?;
    terminal::progress("sending");
    let load = send(&stack, messages, senders).await?;
    if as_json {
        println!("{}", serde_json::to_string(&load)?);
    } else {
        print(&load);
    }
    stack.stop().await?;
    Ok(load.lost + load.second_echoes + load.extra_rows + load.out_of_order == 0)
}

fn print(load: &Load) {
    let Load { messages, senders, posts, .. } = load;
    println!("{messages} messages of {senders} senders in {posts} POSTs of 1 to 50");
    println!("  accepted after {:.1} s, recorded after {:.1} s", load.accepted_after, load.recorded_after);
    let Load { lost, second_echoes, extra_rows, out_of_order, .. } = load;
    println!(
        "  lost {lost}, second echoes {second_echoes}, extra rows {extra_rows}, out of order {out_of_order}"
    );
    for line in &load.missing {
        println!("  {line}");
    }
    for (counter, count) in &load.warnings {
        println!("  logged as a warning or an error: {counter} {count}");
    }
    println!(
        "  memory in MiB, at the start, after a third and at the end: processes, all together, the largest; CPU in s"
    );
    let mib = |kib: u64| kib as f64 / 1024.0;
    for (program, samples) in &load.memory {
        print!("    {program:<10}");
        for Memory { processes, total, largest } in samples {
            print!(" {processes:>6} {:>8.1} {:>8.1}", mib(*total), mib(*largest));
        }
        println!(" {:>8.1}", load.cpu.get(program).copied().unwrap_or_default());
    }
}

/// Sends the messages to a running stack and waits for what becomes of them.
///
/// # Errors
/// When a POST is refused or the database cannot be reached.
pub async fn send(stack: &Stack, messages: usize, senders: usize) -> anyhow::Result<Load> {
    let numbers: Vec<String> = (0..senders).map(|n| format!("1999{n:07}")).collect();
    link(stack, &numbers).await?;
    let posts = post::posts(messages, &numbers);
    let mut watch = Watch::new(stack, messages, senders);
    let (before, cpu_before) = (memory::by_program(), memory::cpu_by_program());
    let start = Instant::now();
    let count_of_posts = posts.len();
    let (accepted_after, finished) =
        tokio::try_join!(post::post_all(stack, posts, senders), watch.wait(stack))?;
    let recorded_after = start.elapsed();
    let (after, cpu_after) = (memory::by_program(), memory::cpu_by_program());

    let rows = rows(stack).await?;
    let missing = finished.err().map(|why| [vec![why], watch.missing(stack, &rows)].concat());
    let between = watch.memory.take().unwrap_or_default();
    let programs = before.keys().chain(between.keys()).chain(after.keys());
    let of = |memory: &BTreeMap<String, Memory>, name: &str| memory.get(name).copied().unwrap_or_default();
    let samples = |name: &String| (name.clone(), [&before, &between, &after].map(|memory| of(memory, name)));
    let cpu = cpu_after.into_iter().map(|(name, seconds)| {
        let before = cpu_before.get(&name).copied().unwrap_or_default();
        (name, seconds - before)
    });
    let echoes = watch.echoes();
    let complete =
        |n: &usize| echoes.of.contains_key(n) && rows.get(&wamid(*n)).is_some_and(|count| *count == 2);
    Ok(Load {
        messages,
        senders,
        posts: count_of_posts,
        accepted_after: accepted_after.as_secs_f64(),
        recorded_after: recorded_after.as_secs_f64(),
        lost: (0..messages).filter(|n| !complete(n)).count(),
        second_echoes: echoes.count - echoes.of.len(),
        extra_rows: rows.values().sum::<usize>().saturating_sub(2 * messages),
        out_of_order: echoes.out_of_order,
        missing: missing.unwrap_or_default(),
        memory: programs.map(samples).collect(),
        cpu: cpu.collect(),
        warnings: watch.warnings,
    })
}

/// Links each number to a user of its own.
///
/// # Errors
/// When the database refuses.
pub async fn link(stack: &Stack, numbers: &[String]) -> anyhow::Result<()> {
    sqlx::query(
        "with numbers as (select gen_random_uuid() as id, number from unnest($1::text[]) as number),
           users as (insert into auth.users (id, raw_app_meta_data, confirmation_token, recovery_token,
               email_change_token_new, email_change)
             select id, jsonb_build_object('created_by', $2), '', '', '', '' from numbers)
         insert into public.user_preferences (user_id, whatsapp_phone) select id, '+' || number from numbers",
    )
    .bind(numbers)
    .bind(CREATED_BY)
    .execute(stack.services.supabase.pool())
    .await?;
    Ok(())
}

/// How many rows each message has.
async fn rows(stack: &Stack) -> anyhow::Result<HashMap<String, usize>> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "select content, count(*) from messages where content like 'wamid.load.%' group by content",
    )
    .fetch_all(stack.services.supabase.pool())
    .await?;
    Ok(rows.into_iter().map(|(wamid, count)| (wamid, usize::try_from(count).unwrap_or_default())).collect())
}
