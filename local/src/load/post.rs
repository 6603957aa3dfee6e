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
/// POSTs in flight at the same time.
const POSTERS: usize = 8;

/// A POST with some of the messages, by their numbers.
pub(super) struct Post {
    messages: Range<usize>,
    body: Vec<u8>,
}

/// Returns the id and the text of message number `n`; the strings sort in the order of the numbers.
pub(super) fn wamid(n: usize) -> String {
    format!("wamid.load.{n:07}")
}

/// Returns the message's number.
pub(super) fn number(wamid: &str) -> Option<usize> {
    wamid.strip_prefix("wamid.load.")?.parse().ok()
}

/// Returns the POSTs: the senders alternate, so that each POST has messages of many.
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

/// Sends the POSTs, several at a time, but never two with messages of the same sender, because their order of arrival
/// would be unknown. Returns the duration.
///
/// # Errors
/// When a response is not 200.
pub(super) async fn post_all(stack: &Stack, posts: Vec<Post>, senders: usize) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let (url, client) = (stack.webhook_url(), shared::http::client()?);
    let mut tasks = JoinSet::new();
    let mut in_flight = BTreeSet::new();
    for Post { messages, body } in posts {
        let is_clear = |in_flight: &BTreeSet<usize>| {
            in_flight.len() < POSTERS && in_flight.first().is_none_or(|first| messages.end - first <= senders)
        };
        while !is_clear(&in_flight) {
            in_flight.remove(&answer(&mut tasks).await?);
        }
        in_flight.insert(messages.start);
        let (url, client) = (url.clone(), client.clone());
        tasks.spawn(async move { (messages.start, local_stack::play::post(&client, &url, body).await) });
    }
    while !tasks.is_empty() {
        answer(&mut tasks).await?;
    }
    Ok(start.elapsed())
}

/// Waits for a response and returns the first message number of its POST.
async fn answer(tasks: &mut JoinSet<(usize, anyhow::Result<u16>)>) -> anyhow::Result<usize> {
    let (post, status) = tasks.join_next().await.context("no POST is in flight")??;
    let status = status?;
    ensure!(status == 200, "the webhook returned {status}");
    Ok(post)
}
