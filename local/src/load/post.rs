//! The POSTs of a load.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use local_stack::Stack;
use local_stack::services::PHONE_NUMBER_ID;

/// Sizes of the POSTs, in messages, one after the other.
const SIZES: [usize; 9] = [1, 1, 1, 2, 1, 5, 10, 25, 50];
/// POSTs under way at the same time.
const POSTERS: usize = 8;

/// A POST with some of the messages, by their numbers.
pub(super) struct Post {
    messages: Range<usize>,
    body: Vec<u8>,
}

/// A message's id, and its text. In the order of its sender's messages, as text.
pub(super) fn wamid(n: usize) -> String {
    format!("wamid.load.{n:07}")
}

/// The message's number.
pub(super) fn number(wamid: &str) -> Option<usize> {
    wamid.strip_prefix("wamid.load.")?.parse().ok()
}

/// The POSTs: senders take turns, so that each POST holds messages of many.
pub(super) fn posts(messages: usize, numbers: &[String]) -> Vec<Post> {
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

/// Sends them, several at a time, but never two that hold messages of the same sender: which of these came
/// first nobody could say. Returns how long it took.
///
/// # Errors
/// When one is not answered 200.
pub(super) async fn post_all(stack: &Stack, posts: Vec<Post>, senders: usize) -> anyhow::Result<Duration> {
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
        tasks.spawn(async move { (messages.start, local_stack::play::post(&client, &url, body).await) });
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
