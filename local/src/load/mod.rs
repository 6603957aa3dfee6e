//! Many messages through the real binaries: time, lost messages, duplicates, memory.

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

/// The messages of a run, numbered from 0.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Number of messages.
    pub messages: usize,
    /// Number of different senders. They alternate.
    pub senders: usize,
    /// Whether a sender writes bursts of 2 to 5 messages instead of single ones.
    pub bursts: bool,
}

impl Profile {
    /// Returns the number of the burst of message number `n`: of its sender's run of messages.
    fn burst(&self, n: usize) -> usize {
        // Bursts of 2, 3, 4 and 5 messages, again and again.
        const BURSTS: [usize; 14] = [0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3];
        if self.bursts { n / BURSTS.len() * 4 + BURSTS[n % BURSTS.len()] } else { n }
    }

    /// Returns the number of the sender of message number `n`.
    fn sender(&self, n: usize) -> usize {
        self.burst(n) % self.senders
    }
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct Load {
    /// Messages sent.
    pub messages: usize,
    /// Different senders.
    pub senders: usize,
    /// POSTs with these messages.
    pub posts: usize,
    /// From the first POST to the last response, in seconds.
    pub accepted_after: f64,
    /// From the first POST to the last row, or to the end of the wait for it, in seconds.
    pub recorded_after: f64,
    /// Replies that phones received: one to each message, or to several that were answered together.
    pub replies: usize,
    /// Messages without a reply, or without a row of their own or of their reply.
    pub lost: usize,
    /// Replies beyond the first of their message.
    pub duplicate_replies: usize,
    /// Rows beyond the two of each message.
    pub extra_rows: usize,
    /// Replies that arrived before the reply to an earlier message of their sender.
    pub out_of_order: usize,
    /// The functions' warnings and errors by counter: each one means additional work.
    pub warnings: BTreeMap<String, usize>,
    /// The reason for giving up, and the missing messages; empty when nothing was missing.
    pub missing: Vec<String>,
    /// Memory by program: before the first POST, after a third of the replies, and at the end.
    pub memory: BTreeMap<String, [Memory; 3]>,
    /// CPU time of each program from the first POST to the end, in seconds.
    pub cpu: BTreeMap<String, f64>,
}

/// Starts everything, sends the messages, prints their outcome. Returns whether nothing was lost,
/// duplicated or out of order.
///
/// # Errors
/// When something cannot be started, or a POST is refused.
pub async fn run(options: &Options, profile: Profile, as_json: bool) -> anyhow::Result<bool> {
    ensure!(profile.messages > 0 && profile.senders > 0, "there must be a message and a sender");
    options.responder.check_echo("load")?;
    let stack = Stack::start(options, terminal::progress).await?;
    terminal::progress("sending");
    let load = send(&stack, profile).await?;
    if as_json {
        println!("{}", serde_json::to_string(&load)?);
    } else {
        print(&load);
    }
    stack.stop().await?;
    Ok(load.lost + load.duplicate_replies + load.extra_rows + load.out_of_order == 0)
}

fn print(load: &Load) {
    let Load { messages, senders, posts, .. } = load;
    println!("{messages} messages of {senders} senders in {posts} POSTs");
    println!("  accepted after {:.1} s, recorded after {:.1} s", load.accepted_after, load.recorded_after);
    println!("  {} replies: {:.2} a message", load.replies, load.replies as f64 / *messages as f64);
    let Load { lost, duplicate_replies, extra_rows, out_of_order, .. } = load;
    println!(
        "  lost {lost}, duplicate replies {duplicate_replies}, extra rows {extra_rows}, out of order {out_of_order}"
    );
    for line in &load.missing {
        println!("  {line}");
    }
    for (counter, count) in &load.warnings {
        println!("  logged as a warning or an error: {counter} {count}");
    }
    println!(
        "  memory in MiB, at the start, after a third and at the end: processes, total, largest; CPU in s"
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

/// Sends the messages to a running stack and waits for their outcomes.
///
/// # Errors
/// When a POST is refused or the database cannot be reached.
pub async fn send(stack: &Stack, profile: Profile) -> anyhow::Result<Load> {
    let Profile { messages, senders, .. } = profile;
    let numbers: Vec<String> = (0..senders).map(|n| format!("1999{n:07}")).collect();
    link(stack, &numbers).await?;
    let posts = post::posts(profile, &numbers);
    let mut watch = Watch::new(stack, profile);
    let (before, cpu_before) = (memory::by_program(), memory::cpu_by_program());
    let start = Instant::now();
    let count_of_posts = posts.len();
    let (accepted_after, finished) =
        tokio::try_join!(post::post_all(stack, posts, senders), watch.wait(stack))?;
    let recorded_after = start.elapsed();
    let (after, cpu_after) = (memory::by_program(), memory::cpu_by_program());

    let rows = rows(stack).await?;
    let missing = finished.err().map(|reason| [vec![reason], watch.missing(stack, &rows)].concat());
    let between = watch.memory.take().unwrap_or_default();
    let programs = before.keys().chain(between.keys()).chain(after.keys());
    let of = |memory: &BTreeMap<String, Memory>, name: &str| memory.get(name).copied().unwrap_or_default();
    let samples = |name: &String| (name.clone(), [&before, &between, &after].map(|memory| of(memory, name)));
    let cpu = cpu_after.into_iter().map(|(name, seconds)| {
        let before = cpu_before.get(&name).copied().unwrap_or_default();
        (name, seconds - before)
    });
    let replies = watch.replies();
    let complete =
        |n: &usize| replies.of.contains_key(n) && rows.get(&wamid(*n)).is_some_and(|count| *count == 2);
    Ok(Load {
        messages,
        senders,
        posts: count_of_posts,
        accepted_after: accepted_after.as_secs_f64(),
        recorded_after: recorded_after.as_secs_f64(),
        lost: (0..messages).filter(|n| !complete(n)).count(),
        replies: replies.count,
        duplicate_replies: replies.of.values().sum::<usize>() - replies.of.len(),
        extra_rows: rows.values().sum::<usize>().saturating_sub(2 * messages),
        out_of_order: replies.out_of_order,
        missing: missing.unwrap_or_default(),
        memory: programs.map(samples).collect(),
        cpu: cpu.collect(),
        warnings: watch.warnings,
    })
}

/// Links each number to a new user.
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

/// Returns the number of rows that contain each message: its own, and that of its reply.
async fn rows(stack: &Stack) -> anyhow::Result<HashMap<String, usize>> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        r"select wamid, count(*) from messages, regexp_split_to_table(content, '\n') as wamid
           where content like 'wamid.load.%' group by wamid",
    )
    .fetch_all(stack.services.supabase.pool())
    .await?;
    Ok(rows.into_iter().map(|(wamid, count)| (wamid, usize::try_from(count).unwrap_or_default())).collect())
}
