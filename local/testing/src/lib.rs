//! Helpers for tests of the whole pipeline: a stack, payloads, and waiting for their outcomes.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

use std::time::{Duration, Instant};

use local_stack::logs::{Entry, Mark};
use local_stack::queues::INBOUND;
use local_stack::services::PHONE_NUMBER_ID;
use local_stack::{Options, Stack};
use serde_json::{Value, json};
use shared::lambda::logging::ShortWamid;

/// User A's number in Meta's format.
pub const PHONE_A: &str = "16505551234";
/// User B's number in Meta's format.
pub const PHONE_B: &str = "16505555678";

/// The timeout for an expected event.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Starts a stack for one test.
pub async fn stack() -> Stack {
    stack_with(Options::default()).await
}

/// Starts a stack for one test, with the given options.
pub async fn stack_with(options: Options) -> Stack {
    Stack::start(&options, |_| {}).await.expect("a stack")
}

/// Returns a text message.
#[must_use]
pub fn text(from: &str, wamid: &str, body: &str) -> Value {
    json!({"from": from, "id": wamid, "timestamp": "1749416383", "type": "text", "text": {"body": body}})
}

/// Returns a payload with these messages to the business number of the samples.
#[must_use]
pub fn payload(messages: &[Value]) -> Vec<u8> {
    let metadata = json!({"display_phone_number": "15550783881", "phone_number_id": PHONE_NUMBER_ID});
    let value = json!({"messaging_product": "whatsapp", "metadata": metadata, "messages": messages});
    let changes = json!([{"field": "messages", "value": value}]);
    let entry = json!([{"id": "419561257915477", "changes": changes}]);
    json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes()
}

/// Waits until `condition` holds.
pub async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    let mut look = tokio::time::interval(Duration::from_millis(20));
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        look.tick().await;
    }
}

/// Waits until the inbound queue has no messages, in flight or not.
pub async fn until_queue_is_empty(stack: &Stack) {
    let server = stack.services.queues.server.as_ref().expect("the emulated queue");
    until("the queue is empty", async || server.view(INBOUND).is_some_and(|view| view.messages.is_empty()))
        .await;
}

/// Waits for the log line with this outcome of the message with this wamid.
pub async fn outcome(stack: &Stack, mark: Mark, wamid: &str, outcome: &str) -> Entry {
    let short = ShortWamid::of(wamid).as_str();
    let is_it = |entry: &&Entry| entry.field("wamid") == short && entry.field("outcome") == outcome;
    let entries = stack.logs.wait(mark, DEADLINE, |entries| entries.iter().any(|entry| is_it(&entry))).await;
    let found = entries.iter().find(is_it).cloned();
    found.unwrap_or_else(|| {
        panic!("{wamid} is not {outcome}: {:#?}", entries.iter().map(|e| &e.text).collect::<Vec<_>>())
    })
}

/// Returns all rows in the order of the conversation: role, content, user.
pub async fn rows(stack: &Stack) -> Vec<(String, String, String)> {
    sqlx::query_as("select role, content, user_id::text from messages order by created_at, id")
        .fetch_all(stack.services.supabase.pool())
        .await
        .expect("rows")
}
