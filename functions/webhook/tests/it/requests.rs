//! Requests as API Gateway passes them to the function, and a fake queue that can refuse batches.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_http::{Body, Request, Response};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared_testing::event;
use shared_testing::logs::Logs;
use webhook::Webhook;
use webhook::batches::{Batch, MAX_BYTES};
use webhook::entry::Entry;
use webhook::handshake::VerifyToken;
use webhook::queue::{Queue, QueueError};
use webhook::signature::AppSecret;

/// Records the entries that it accepts, each call after `latency`, and refuses batches with a wamid of `refused`.
#[derive(Clone, Debug, Default)]
struct FakeQueue {
    sent: Arc<Mutex<Vec<Entry>>>,
    refused: HashSet<String>,
    latency: Duration,
}

impl Queue for FakeQueue {
    async fn send(&self, batch: Batch) -> Result<(), QueueError> {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let refused =
            |entry: &Entry| entry.subject.wamid.as_ref().is_some_and(|wamid| self.refused.contains(wamid));
        if batch.entries.iter().any(refused) {
            return Err(QueueError::Call("no response in time".to_owned()));
        }
        self.sent.lock().expect("a lock").extend(batch.entries);
        Ok(())
    }
}

fn secret() -> AppSecret {
    AppSecret::new(&SecretString::from("app-secret"))
}

fn webhook(queue: FakeQueue) -> Webhook<FakeQueue> {
    Webhook::new(secret(), VerifyToken::new(SecretString::from("verify-token")), queue)
}

/// An event of an HTTP API, payload format 2.0.
fn event(method: &str, path: &str, query: &str, headers: Value, body: Option<(&str, bool)>) -> Request {
    let mut event = event::http("$default", method, path, query, &headers);
    if let Some((body, base64)) = body {
        event["body"] = body.into();
        event["isBase64Encoded"] = base64.into();
    }
    shared::lambda::api::request(&event.to_string()).expect("an event")
}

fn signed(body: &str) -> Request {
    let headers =
        json!({"content-type": "application/json", "x-hub-signature-256": secret().sign(body.as_bytes())});
    event("POST", "/webhook", "", headers, Some((body, false)))
}

fn payload(wamids: &[&str]) -> String {
    let message = |wamid: &&str| json!({"from": wamid, "id": wamid, "type": "text", "text": {"body": "hi"}});
    let messages: Vec<_> = wamids.iter().map(message).collect();
    let changes = json!([{"field": "messages", "value": {"messages": messages}}]);
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}).to_string()
}

fn answer(response: &Response<Body>) -> (u16, String) {
    (response.status().as_u16(), String::from_utf8(response.body().as_ref().to_vec()).expect("UTF-8"))
}

#[tokio::test]
async fn the_handshake_returns_the_challenge_as_plain_text() {
    let webhook = webhook(FakeQueue::default());
    let query = "hub.mode=subscribe&hub.verify_token=verify-token&hub.challenge=1158201444";
    let response = webhook.handle(event("GET", "/webhook", query, json!({}), None)).await;
    assert_eq!(answer(&response), (200, "1158201444".to_owned()));
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn a_wrong_token_or_mode_is_403_and_a_missing_parameter_400() {
    let webhook = webhook(FakeQueue::default());
    for (query, status) in [
        ("hub.mode=subscribe&hub.verify_token=verify-tokem&hub.challenge=1", 403),
        ("hub.mode=subscribe&hub.verify_token=&hub.challenge=1", 403),
        ("hub.mode=unsubscribe&hub.verify_token=verify-token&hub.challenge=1", 403),
        ("hub.mode=subscribe&hub.verify_token=verify-token", 400),
        ("hub.mode=subscribe&hub.challenge=1", 400),
        ("hub.verify_token=verify-token&hub.challenge=1", 400),
        ("", 400),
    ] {
        let response = webhook.handle(event("GET", "/webhook", query, json!({}), None)).await;
        assert_eq!(response.status().as_u16(), status, "{query}");
        assert!(!answer(&response).1.contains("verify-token"), "{query}");
    }
}

#[tokio::test]
async fn a_signed_body_is_queued_and_answered_ok() {
    let queue = FakeQueue::default();
    let response = webhook(queue.clone()).handle(signed(&payload(&["w1", "w2"]))).await;
    assert_eq!(answer(&response), (200, r#"{"status":"ok"}"#.to_owned()));
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(queue.sent.lock().expect("a lock").len(), 2);
}

#[tokio::test]
async fn the_bytes_that_arrived_are_verified_in_base64_too() {
    use base64::Engine;
    let queue = FakeQueue::default();
    // Spaces and escapes that a parser would not preserve, and a line that is not ASCII.
    let body = payload(&["w1"]).replace("\"hi\"", "\"h\\u00e9 \u{1f44d}\"  \n");
    let headers = json!({"x-hub-signature-256": secret().sign(body.as_bytes())});
    let encoded = base64::engine::general_purpose::STANDARD.encode(&body);
    let request = event("POST", "/webhook", "", headers, Some((&encoded, true)));
    let response = webhook(queue.clone()).handle(request).await;
    assert_eq!(response.status().as_u16(), 200);
    assert!(queue.sent.lock().expect("a lock")[0].body.contains("h\\u00e9 \u{1f44d}"));
}

#[tokio::test]
async fn a_missing_or_wrong_signature_is_401_and_nothing_is_queued() {
    let queue = FakeQueue::default();
    let webhook = webhook(queue.clone());
    let body = payload(&["w1"]);
    let other = AppSecret::new(&SecretString::from("other")).sign(body.as_bytes());
    for headers in [
        json!({}),
        json!({"x-hub-signature-256": other}),
        json!({"x-hub-signature-256": "sha256="}),
        json!({"x-hub-signature": "sha1=00"}),
        json!({"x-hub-signature-256": secret().sign(b"another body")}),
    ] {
        let response =
            webhook.handle(event("POST", "/webhook", "", headers.clone(), Some((&body, false)))).await;
        assert_eq!(response.status().as_u16(), 401, "{headers}");
    }
    // The signature is verified before the body is parsed.
    let unsigned = webhook.handle(event("POST", "/webhook", "", json!({}), Some(("{", false)))).await;
    assert_eq!(unsigned.status().as_u16(), 401);
    assert!(queue.sent.lock().expect("a lock").is_empty());
}

#[tokio::test]
async fn an_unreadable_body_is_stored_one_of_another_product_is_not() {
    for (body, stored) in [("", 1), ("hello", 1), ("{", 1), (r#"{"object":"page","entry":[]}"#, 0)] {
        let queue = FakeQueue::default();
        let response = webhook(queue.clone()).handle(signed(body)).await;
        assert_eq!(answer(&response), (200, r#"{"status":"ok"}"#.to_owned()), "{body}");
        let sent = queue.sent.lock().expect("a lock");
        assert_eq!(sent.len(), stored, "{body}");
        assert!(sent.iter().all(|entry| entry.subject.to_string() == "event unreadable"), "{body}");
    }
}

#[tokio::test]
async fn a_refused_batch_is_500_and_the_others_are_sent_anyway() {
    let wamids: Vec<String> = (0..35).map(|n| format!("w{n}")).collect();
    let wamids: Vec<&str> = wamids.iter().map(String::as_str).collect();
    let queue = FakeQueue { refused: ["w7".to_owned()].into(), ..FakeQueue::default() };
    let response = webhook(queue.clone()).handle(signed(&payload(&wamids))).await;
    assert_eq!(response.status().as_u16(), 500);
    assert_eq!(queue.sent.lock().expect("a lock").len(), 25);
}

#[tokio::test]
async fn no_message_of_a_sender_is_queued_after_a_refused_batch() {
    let message = |n: usize| json!({"from": "16505551234", "id": format!("w{n}"), "type": "text"});
    let messages: Vec<_> = (0..30).map(message).collect();
    let changes = json!([{"field": "messages", "value": {"messages": messages}}]);
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]})
        .to_string();
    let queue = FakeQueue { refused: ["w15".to_owned()].into(), ..FakeQueue::default() };
    let response = webhook(queue.clone()).handle(signed(&body)).await;
    assert_eq!(response.status().as_u16(), 500);
    let sent: Vec<_> =
        queue.sent.lock().expect("a lock").iter().map(|entry| entry.subject.wamid.clone()).collect();
    assert_eq!(sent.len(), 10, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_or_unresponsive_queue_is_500_before_the_timeout() {
    // A thousand senders: seven rounds of parallel calls. And one sender: two times fifty sequential calls.
    let wamids: Vec<_> = (0..1000).map(|n| format!("w{n}")).collect();
    let message = |n: usize| json!({"from": "16505551234", "id": format!("w{n}"), "type": "text"});
    let messages: Vec<_> = (0..1000).map(message).collect();
    let changes = json!([{"field": "messages", "value": {"messages": messages}}]);
    let one = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]});
    let many = payload(&wamids.iter().map(String::as_str).collect::<Vec<_>>());
    for (payload, latency, status) in [
        (&many, Duration::from_secs(3600), 500),
        (&many, Duration::from_secs(3), 500),
        (&many, Duration::from_millis(100), 200),
        (&one.to_string(), Duration::from_millis(300), 500),
        (&one.to_string(), Duration::from_millis(150), 200),
    ] {
        let start = tokio::time::Instant::now();
        let queue = FakeQueue { latency, ..FakeQueue::default() };
        let response = webhook(queue).handle(signed(payload)).await;
        assert_eq!(response.status().as_u16(), status, "{latency:?}");
        assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_message_too_large_for_the_queue_is_truncated() {
    for bytes in [MAX_BYTES - 10_000, MAX_BYTES, 3 * MAX_BYTES] {
        let message =
            |id, bytes| json!({"from": "1", "id": id, "type": "text", "text": {"body": "x".repeat(bytes)}});
        let messages = json!([message("w1", 1), message("w2", bytes), message("w3", 1)]);
        let changes = json!([{"field": "messages", "value": {"messages": messages}}]);
        let payload = json!({"object": "whatsapp_business_account", "entry": [{"changes": changes}]});
        let queue = FakeQueue::default();
        let response = webhook(queue.clone()).handle(signed(&payload.to_string())).await;
        assert_eq!(answer(&response), (200, r#"{"status":"ok"}"#.to_owned()));
        let sent = queue.sent.lock().expect("a lock");
        let subjects: Vec<_> = sent.iter().map(|entry| entry.subject.clone()).collect();
        let wamids: Vec<_> =
            subjects.iter().map(|subject| subject.wamid.as_deref().expect("a wamid")).collect();
        assert_eq!(wamids, ["w1", "w2", "w3"]);
        assert_eq!(subjects[1].original_bytes.is_some(), bytes >= MAX_BYTES);
        assert!(sent.iter().all(|entry| entry.body.len() <= MAX_BYTES));
    }
}

proptest::proptest! {
    #[test]
    fn no_signed_body_is_refused(
        name in "object|entry|changes|value|messages|statuses|errors|contacts|metadata|field|\\PC{0,6}",
        text: String, number: f64, depth in 0usize..6, bytes: Vec<u8>,
    ) {
        let mut value = json!([{"id": text, "from": number, "status": [text], name.clone(): null}, text, number, null]);
        for layer in ["messages", "value", "changes", "entry", &name, "statuses"].into_iter().take(depth) {
            value = json!([{layer: value, "field": text, "metadata": {"phone_number_id": number}}]);
        }
        let bodies = [
            value.to_string(),
            json!({"object": "whatsapp_business_account", "entry": value}).to_string(),
            String::from_utf8_lossy(&bytes).into_owned(),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        for body in bodies {
            let response = runtime.block_on(webhook(FakeQueue::default()).handle(signed(&body)));
            proptest::prop_assert_eq!(response.status().as_u16(), 200, "{}", body);
        }
    }
}

#[tokio::test]
async fn other_methods_are_405_and_other_paths_404() {
    let webhook = webhook(FakeQueue::default());
    for method in ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
        let response = webhook.handle(event(method, "/webhook", "", json!({}), None)).await;
        assert_eq!(response.status().as_u16(), 405, "{method}");
        assert_eq!(response.headers()["allow"], "GET, POST");
    }
    for path in ["/", "/webhooks", "/webhook/x", "/messages"] {
        let response = webhook.handle(event("POST", path, "", json!({}), None)).await;
        assert_eq!(response.status().as_u16(), 404, "{path}");
    }
}

#[tokio::test]
async fn each_update_is_counted_by_its_kind() {
    let logs = Logs::capture();
    let value = json!({"messages": [{"from": "1", "id": "w", "type": "text"}], "statuses": [{"id": "w", "status": "read"}]});
    let changes = json!([{"field": "messages", "value": value}, {"field": "account_update", "value": {}}]);
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]});
    let response = webhook(FakeQueue::default()).handle(signed(&body.to_string())).await;
    assert_eq!(response.status().as_u16(), 200);
    let counters: Vec<_> = logs.counted().into_iter().map(|(_, counter)| counter).collect();
    assert_eq!(counters, ["accepted_messages", "accepted_statuses", "accepted_events"]);
}
