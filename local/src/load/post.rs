//! The POSTs of a load.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::Profile;
use local_stack::Stack;
use local_stack::services::PHONE_NUMBER_ID;

/// Sizes of the POSTs, in bursts, one after the other.
const SIZES: [usize; 9] = [1, 1, 1, 2, 1, 5, 10, 25, 50];
/// POSTs in flight at the same time.
const POSTERS: usize = 8;

/// A POST with some of the bursts, by their numbers.
pub(super) struct Post {
    bursts: Range<usize>,
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

/// Returns the POSTs: the senders alternate, so that each POST has messages of many. No burst is split.
pub(super) fn posts(profile: Profile, numbers: &[String]) -> Vec<Post> {
    // A late message is answered by itself.
    let now = chrono::Utc::now().timestamp().to_string();
    let mut posts = Vec::new();
    let mut next = 0;
    for size in SIZES.iter().cycle() {
        if next >= profile.messages {
            break;
        }
        let first = profile.burst(next);
        let bursts = first..first + size;
        let messages: Vec<Value> = (next..profile.messages)
            .take_while(|n| bursts.contains(&profile.burst(*n)))
            .map(|n| {
                let text = json!({"body": wamid(n)});
                let from = &numbers[profile.sender(n)];
                json!({"from": from, "id": wamid(n), "timestamp": now, "type": "text", "text": text})
            })
            .collect();
        let value = json!({"metadata": {"phone_number_id": PHONE_NUMBER_ID}, "messages": messages});
        let entry = json!([{"id": "1", "changes": [{"field": "messages", "value": value}]}]);
        let body = json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes();
        next += messages.len();
        posts.push(Post { bursts, body });
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
    for Post { bursts, body } in posts {
        let is_clear = |in_flight: &BTreeSet<usize>| {
            in_flight.len() < POSTERS && in_flight.first().is_none_or(|first| bursts.end - first <= senders)
        };
        while !is_clear(&in_flight) {
            in_flight.remove(&answer(&mut tasks).await?);
        }
        in_flight.insert(bursts.start);
        let (url, client) = (url.clone(), client.clone());
        tasks.spawn(async move { (bursts.start, local_stack::play::post(&client, &url, body).await) });
    }
    while !tasks.is_empty() {
        answer(&mut tasks).await?;
    }
    Ok(start.elapsed())
}

/// Waits for a response and returns the first burst number of its POST.
async fn answer(tasks: &mut JoinSet<(usize, anyhow::Result<u16>)>) -> anyhow::Result<usize> {
    let (post, status) = tasks.join_next().await.context("no POST is in flight")??;
    let status = status?;
    ensure!(status == 200, "the webhook returned {status}");
    Ok(post)
}
