//! Many messages through the real binaries: time, what was lost, what came twice, memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use local_graph::Received;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::memory::{self, Memory};
use crate::services::PHONE_NUMBER_ID;
use crate::show;
use crate::stack::{Options, Stack};

/// Sizes of the POSTs, in messages, one after the other.
const SIZES: [usize; 9] = [1, 1, 1, 2, 1, 5, 10, 25, 50];
/// POSTs under way at the same time.
const POSTERS: usize = 8;
/// How long everything may stand still before it is taken for lost.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

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
    /// From the first POST to the last row, in seconds.
    pub recorded_after: f64,
    /// Messages without an echo or without both rows.
    pub lost: usize,
    /// Echoes beyond the first of their message.
    pub second_echoes: usize,
    /// Rows beyond the two of each message.
    pub extra_rows: usize,
    /// Echoes that came before that of an earlier question of their sender.
    pub out_of_order: usize,
    /// Memory by program: before the first POST, and after the last row.
    pub memory: BTreeMap<String, [Memory; 2]>,
}

/// Starts everything, sends `messages` of `senders`, prints what became of them. Whether nothing was lost,
/// doubled or out of order.
///
/// # Errors
/// When something cannot be started, or a POST is refused.
pub async fn run(options: &Options, messages: usize, senders: usize, as_json: bool) -> anyhow::Result<bool> {
    ensure!(messages > 0 && senders > 0, "there must be a message and a sender");
    let stack = Stack::start(options, show::progress).await?;
    show::progress("sending");
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
    println!("  memory in MiB, at the start and at the end: processes, all together, the largest");
    let mib = |kib: u64| kib as f64 / 1024.0;
    for (program, [start, end]) in &load.memory {
        print!("    {program:<10}");
        for Memory { processes, total, largest } in [start, end] {
            print!(" {processes:>6} {:>8.1} {:>8.1}", mib(*total), mib(*largest));
        }
        println!();
    }
}

/// Sends the messages to a running stack and waits for what becomes of them.
///
/// # Errors
/// When a POST is refused or the database cannot be reached.
pub async fn send(stack: &Stack, messages: usize, senders: usize) -> anyhow::Result<Load> {
    let numbers: Vec<String> = (0..senders).map(|n| format!("1999{n:07}")).collect();
    link(stack, &numbers).await?;
    let posts = posts(messages, &numbers);
    let before = memory::by_program();
    let start = Instant::now();
    let count_of_posts = posts.len();
    let accepted_after = post_all(stack, posts, senders).await?;
    wait(stack, messages).await?;
    let recorded_after = start.elapsed();
    let after = memory::by_program();

    let programs = before.keys().chain(after.keys()).cloned();
    let of = |memory: &BTreeMap<String, Memory>, name: &str| memory.get(name).copied().unwrap_or_default();
    let echoes = stack.services.graph.received();
    let (answered, out_of_order) = count(&echoes);
    let rows = rows(stack).await?;
    let complete =
        |wamid: &str| answered.contains_key(wamid) && rows.get(wamid).is_some_and(|count| *count == 2);
    Ok(Load {
        messages,
        senders,
        posts: count_of_posts,
        accepted_after: accepted_after.as_secs_f64(),
        recorded_after: recorded_after.as_secs_f64(),
        lost: (0..messages).filter(|n| !complete(&wamid(*n))).count(),
        second_echoes: echoes.len() - answered.len(),
        extra_rows: rows.values().sum::<usize>().saturating_sub(2 * messages),
        out_of_order,
        memory: programs.map(|name| (name.clone(), [of(&before, &name), of(&after, &name)])).collect(),
    })
}

/// Links each number to a user of its own.
///
/// # Errors
/// When the database refuses.
pub async fn link(stack: &Stack, numbers: &[String]) -> anyhow::Result<()> {
    sqlx::query(
        "with numbers as (select gen_random_uuid() as id, number from unnest($1::text[]) as number),
           users as (insert into auth.users (id) select id from numbers)
         insert into public.user_preferences (user_id, whatsapp_phone) select id, '+' || number from numbers",
    )
    .bind(numbers)
    .execute(stack.services.supabase.pool())
    .await?;
    Ok(())
}

struct Post {
    messages: Range<usize>,
    body: Vec<u8>,
}

/// The POSTs: senders take turns, so that each POST holds messages of many.
fn posts(messages: usize, numbers: &[String]) -> Vec<Post> {
    let mut posts = Vec::new();
    let mut next = 0;
    for size in SIZES.iter().cycle() {
        if next >= messages {
            break;
        }
        let range = next..messages.min(next + size);
        let messages: Vec<Value> = range
            .clone()
            .map(|n| {
                let text = json!({"body": wamid(n)});
                let from = &numbers[n % numbers.len()];
                json!({"from": from, "id": wamid(n), "timestamp": "1749416383", "type": "text", "text": text})
            })
            .collect();
        let value = json!({"metadata": {"phone_number_id": PHONE_NUMBER_ID}, "messages": messages});
        let entry = json!([{"id": "1", "changes": [{"field": "messages", "value": value}]}]);
        let body = json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes();
        next = range.end;
        posts.push(Post { messages: range, body });
    }
    posts
}

/// A message's id, and its text. In the order of its sender's messages, as text.
fn wamid(n: usize) -> String {
    format!("wamid.load.{n:07}")
}

/// Sends them, several at a time, but never two that hold messages of the same sender: which of these came
/// first nobody could say.
async fn post_all(stack: &Stack, posts: Vec<Post>, senders: usize) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let (url, client) = (stack.webhook_url(), shared::http::client()?);
    let mut tasks = JoinSet::new();
    let mut under_way = BTreeSet::new();
    for Post { messages, body } in posts {
        let is_clear = |under_way: &BTreeSet<usize>| {
            under_way.len() < POSTERS && under_way.first().is_none_or(|first| messages.end - first <= senders)
        };
        while !is_clear(&under_way) {
            under_way.remove(&answer(&mut tasks).await?);
        }
        under_way.insert(messages.start);
        let (url, client) = (url.clone(), client.clone());
        tasks.spawn(async move { (messages.start, crate::play::post(&client, &url, body).await) });
    }
    while !tasks.is_empty() {
        answer(&mut tasks).await?;
    }
    Ok(start.elapsed())
}

/// Waits for a POST's answer and returns which it was.
async fn answer(tasks: &mut JoinSet<(usize, anyhow::Result<u16>)>) -> anyhow::Result<usize> {
    let (post, status) = tasks.join_next().await.context("no POST is under way")??;
    let status = status?;
    ensure!(status == 200, "the webhook answered {status}");
    Ok(post)
}

/// Waits until all rows are there, or nothing has changed for long.
async fn wait(stack: &Stack, messages: usize) -> anyhow::Result<()> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut last = (0, Instant::now());
    loop {
        look.tick().await;
        let rows: i64 = sqlx::query_scalar("select count(*) from messages where content like 'wamid.load.%'")
            .fetch_one(stack.services.supabase.pool())
            .await?;
        if usize::try_from(rows).unwrap_or_default() >= 2 * messages {
            return Ok(());
        }
        if rows != last.0 {
            last = (rows, Instant::now());
        } else if last.1.elapsed() > PATIENCE {
            return Ok(());
        }
    }
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

/// How many echoes each message has, and how many of them came before that of an earlier question.
fn count(echoes: &[Received]) -> (HashMap<&str, usize>, usize) {
    let mut answered: HashMap<&str, usize> = HashMap::new();
    let mut latest: HashMap<&str, &str> = HashMap::new();
    let mut out_of_order = 0;
    for echo in echoes {
        let (to, wamid) =
            (echo.to.as_deref().unwrap_or_default(), echo.quotes.as_deref().unwrap_or_default());
        *answered.entry(wamid).or_default() += 1;
        let latest = latest.entry(to).or_default();
        out_of_order += usize::from(wamid < *latest);
        *latest = (*latest).max(wamid);
    }
    (answered, out_of_order)
}
