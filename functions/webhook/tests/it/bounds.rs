//! The largest and most unusual bodies that a signer can send: each gets 200, with a bounded number of calls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lambda_http::Request;
use secrecy::SecretString;
use serde_json::json;
use shared::lambda::names::UpdateKind;
use tokio::time::Instant;
use webhook::Webhook;
use webhook::batches::{Batch, MAX_BYTES, MAX_ENTRIES};
use webhook::entry::Entry;
use webhook::handshake::VerifyToken;
use webhook::queue::{Queue, QueueError};
use webhook::signature::{AppSecret, HEADER};

/// Maximum number of calls for a body: 4,002 updates, ten a call, and some calls that one group or 1 MiB fills.
const MAX_CALLS: usize = 450;

/// A queue with slow calls, 100 ms each, that records the entries of the batches.
#[derive(Clone, Default)]
struct SlowQueue(Arc<Mutex<Vec<Vec<Entry>>>>);

impl Queue for SlowQueue {
    async fn send(&self, batch: Batch) -> Result<(), QueueError> {
        tokio::time::sleep(Duration::from_millis(100)).await;
        self.0.lock().expect("a lock").push(batch.entries);
        Ok(())
    }
}

/// The response to a body, and the batches sent to the queue.
pub(crate) struct Answer {
    pub status: u16,
    pub took: Duration,
    pub batches: Vec<Vec<Entry>>,
}

pub(crate) async fn post(body: Vec<u8>) -> Answer {
    let secret = AppSecret::new(&SecretString::from("app-secret"));
    let request = http::Request::post("https://api.example/webhook").header(HEADER, secret.sign(&body));
    let queue = SlowQueue::default();
    let webhook = Webhook::new(secret, VerifyToken::new(SecretString::from("verify-token")), queue.clone());
    let start = Instant::now();
    let request: Request = request.body(body.into()).expect("a request");
    let response = webhook.handle(request).await;
    let batches = std::mem::take(&mut *queue.0.lock().expect("a lock"));
    Answer { status: response.status().as_u16(), took: start.elapsed(), batches }
}

/// A webhook body with this `value`.
fn change(value: &str) -> Vec<u8> {
    let change = format!(r#"{{"field":"messages","value":{value}}}"#);
    format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{change}]}}]}}"#)
        .into_bytes()
}

/// A value with a list `name` of `count` elements.
fn list(name: &str, count: usize, element: impl Fn(usize) -> String) -> String {
    let elements: Vec<_> = (0..count).map(element).collect();
    format!(r#"{{"metadata":{{"phone_number_id":"1"}},"{name}":[{}]}}"#, elements.join(","))
}

fn message(sender: &str, n: usize, text: &str) -> String {
    json!({"from": sender, "id": format!("w{n}"), "type": "text", "text": {"body": text}}).to_string()
}

/// Bodies of about `size` bytes, each with a name.
pub(crate) fn worst_bodies(size: usize) -> Vec<(&'static str, Vec<u8>)> {
    let nested = |open: &str, close: &str, inside: &str| {
        let depth = size / (open.len() + close.len());
        format!("{}{inside}{}", open.repeat(depth), close.repeat(depth))
    };
    let times = |part: &str| part.repeat(size / part.len());
    let all = |part: &str| format!("[{}0]", times(&format!("{part},")));
    let surrounded = |around: &str| {
        let messages: Vec<_> = (0..5000).map(|n| message(&n.to_string(), n, "hi")).collect();
        format!(r#"{{{around},"messages":[{}]}}"#, messages.join(","))
    };
    let large = message("1", 0, "@");
    let text_of = |json: &str| change(&format!(r#"{{"messages":[{}]}}"#, large.replace(r#""@""#, json)));
    let in_depth = format!("{}\"{}\"{}", r#"{"a":["#.repeat(15), times("x\\n\\\""), "]}".repeat(15));
    vec![
        ("nested arrays", nested("[", "]", "").into_bytes()),
        ("nested objects in a value", change(&nested(r#"{"a":"#, "}", "1"))),
        ("nested values of standby", change(&nested(r#"{"messages":[1],"standby":"#, "}", "1"))),
        ("nested arrays in a message", text_of(&nested("[", "]", ""))),
        ("nested objects in a message", text_of(&nested(r#"{"a":"#, "}", "1"))),
        ("nested arrays without an end", change(&times("["))),
        ("a large string deep in a message", text_of(&in_depth)),
        ("a message of small arrays", text_of(&all("[0]"))),
        ("a message of numbers", text_of(&all("0"))),
        ("a message of objects", text_of(&all(r#"{"a":{}}"#))),
        ("a message of strings", text_of(&all(&format!("\"{}\"", "x".repeat(600))))),
        ("a message of control characters", text_of(&format!("\"{}\"", times("\\u0000")))),
        ("tiny changes", format!(r#"{{"entry":[{{"changes":{}}}]}}"#, all("{}")).into_bytes()),
        ("tiny entries", format!(r#"{{"entry":{}}}"#, all("0")).into_bytes()),
        ("tiny messages", change(&format!(r#"{{"messages":{}}}"#, all("0")))),
        ("tiny statuses", change(&format!(r#"{{"statuses":{}}}"#, all("{}")))),
        ("changes with events beside messages", {
            let part = r#"{"value":{"messages":[0],"a":0,"b":0,"c":0,"d":0,"e":0,"f":0,"g":0,"errors":0}},"#;
            format!(r#"{{"entry":[{{"changes":[{}0]}}]}}"#, times(part)).into_bytes()
        }),
        ("tiny contacts", change(&format!(r#"{{"messages":[{large}],"contacts":{}}}"#, all("0")))),
        (
            "contacts",
            change(&format!(
                r#"{{"messages":[{large}],"contacts":{}}}"#,
                all(r#"{"wa_id":"1","user_id":"US.1"}"#)
            )),
        ),
        ("fields", change(&format!(r#"{{"messages":[{large}],{}"a":0}}"#, times(r#""a":0,"#)))),
        ("a large number around messages", {
            change(&surrounded(&format!(r#""metadata":{{"phone_number_id":"\u0031{}"}}"#, times("1"))))
        }),
        ("metadata and a contact around messages", {
            let x = "x".repeat(15_000);
            change(&surrounded(&format!(
                r#""metadata":{{"x":"{x}"}},"contacts":[{{"wa_id":"1","x":"{x}"}}]"#
            )))
        }),
        ("a large field around messages", {
            let field = times("\\u0031");
            let change = format!(r#"{{"field":"{field}","value":{}}}"#, surrounded(r#""a":1"#));
            format!(r#"{{"entry":[{{"changes":[{change}]}}]}}"#).into_bytes()
        }),
        (
            "messages of one sender",
            change(&list("messages", size / 100, |n| message("16505551234", n, "hi"))),
        ),
        ("messages without an end", {
            let mut body = change(&list("messages", size / 100, |n| message("16505551234", n, "hi")));
            body.truncate(body.len() - 20);
            body
        }),
        (
            "statuses of one message",
            change(&list("statuses", size / 40, |n| format!(r#"{{"id":"w","status":"{n}"}}"#))),
        ),
        ("documents", times("{}").into_bytes()),
        ("documents with an unreadable one", times("{}{]").into_bytes()),
        ("no UTF-8", vec![0xff; size]),
        ("half surrogate pairs", b"\xed\xa0\xbd".repeat(size / 3)),
        ("UTF-16", b"\xff\xfe\x00\xd8".repeat(size / 4)),
        ("control characters in a string", change(&format!("\"{}\"", times("\u{1}")))),
        ("backslashes in a string", change(&format!("\"{}\"", times("\\a")))),
        ("quotation marks", times("\"").into_bytes()),
        ("lines", times("[\n").into_bytes()),
        ("blanks", times(" ").into_bytes()),
    ]
}

#[tokio::test(start_paused = true)]
async fn the_worst_bodies_get_200_with_a_bounded_number_of_calls() {
    for (name, body) in worst_bodies(200_000) {
        let Answer { status, took, batches } = post(body).await;
        assert_eq!(status, 200, "{name}");
        assert!((1..=MAX_CALLS).contains(&batches.len()), "{name}: {} calls", batches.len());
        assert!(took < Duration::from_secs(7), "{name}: {took:?}");
        for batch in batches {
            let bytes: usize = batch.iter().map(|entry| entry.body.len()).sum();
            assert!(batch.len() <= MAX_ENTRIES && bytes <= MAX_BYTES, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_a_thousand_updates_is_queued_one_by_one() {
    let one_sender = |text: &str| change(&list("messages", 1000, |n| message("16505551234", n, text)));
    let statuses = change(&list("statuses", 1000, |n| format!(r#"{{"id":"w","status":"{n}"}}"#)));
    let changes: Vec<_> = (0..1000).map(|n| format!(r#"{{"field":"f","value":{{"n":{n}}}}}"#)).collect();
    let events = format!(r#"{{"entry":[{{"changes":[{}]}}]}}"#, changes.join(","));
    for body in [one_sender("hi"), one_sender(&"x".repeat(2800)), statuses, events.into_bytes()] {
        let Answer { status, took, batches } = post(body).await;
        assert_eq!((status, batches.iter().map(Vec::len).sum::<usize>()), (200, 1000));
        assert!(took <= Duration::from_secs(5), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_surplus_is_one_event_that_stores_its_first_part() {
    let body = change(&list("messages", 10_000, |n| message(&n.to_string(), n, "hi")));
    let entries: Vec<_> = post(body).await.batches.into_iter().flatten().collect();
    let (events, messages): (Vec<_>, Vec<_>) =
        entries.iter().partition(|entry| entry.subject.update == UpdateKind::Event);
    let [event] = events.as_slice() else { panic!("{} events", events.len()) };
    assert_eq!((messages.len(), event.subject.to_string()), (2000, "event surplus".to_owned()));
    let envelope: serde_json::Value = serde_json::from_str(&event.body).expect("JSON");
    let value = &envelope["v1"]["event"]["value"];
    assert_eq!((&value["updates"], &value["raw"][0]["id"]), (&json!(8000), &json!("w2000")));
    assert!(event.body.len() > 500_000 && event.body.len() < MAX_BYTES);
}

#[tokio::test(start_paused = true)]
async fn a_long_burst_of_one_sender_is_ordered_within_parts() {
    let body = change(&list("messages", 1200, |n| message("16505551234", n, "hi")));
    let entries: Vec<_> = post(body).await.batches.into_iter().flatten().collect();
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for entry in entries {
        let n = entry.subject.wamid.expect("a wamid")[1..].parse().expect("a number");
        match groups.iter_mut().find(|(group, _)| *group == entry.message_group_id) {
            Some((_, members)) => members.push(n),
            None => groups.push((entry.message_group_id, vec![n])),
        }
    }
    let mut parts: Vec<_> = groups.into_iter().map(|(_, members)| members).collect();
    parts.sort();
    assert_eq!(parts, [(0..500).collect::<Vec<_>>(), (500..1000).collect(), (1000..1200).collect()]);
}
