//! Subscribing to calls.

use std::time::Duration;

use local_graph::{Fault, GraphEvent};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;

use crate::common::{PHONE, Test, text_to};

/// A deadline that a passing test never reaches.
const LONG: Duration = Duration::from_secs(30);

async fn next(events: &mut Receiver<GraphEvent>) -> GraphEvent {
    tokio::time::timeout(LONG, events.recv()).await.expect("in time").expect("an event")
}

/// The next event, a call: its status and bodies.
async fn call(events: &mut Receiver<GraphEvent>) -> (Option<u16>, Value, Value) {
    match next(events).await {
        GraphEvent::Called(call) => (call.status, call.request, call.answer),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn send_publishes_acceptance_and_response() {
    let test = Test::start().await;
    let mut events = test.graph.subscribe();
    let body = text_to(PHONE, "hi");
    let answer = test.ok(&body).await;
    let GraphEvent::Accepted(received) = next(&mut events).await else { panic!("not accepted") };
    assert_eq!((received.body.as_deref(), &answer["messages"][0]["id"]), (Some("hi"), &json!(received.id)));
    assert_eq!(call(&mut events).await, (Some(200), body, answer));

    test.ok(&json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"})).await;
    let GraphEvent::Read(receipt) = next(&mut events).await else { panic!("not read") };
    assert_eq!(receipt.message_id, "wamid.1");
    assert_eq!(call(&mut events).await.0, Some(200));
}

#[tokio::test]
async fn failed_and_unanswered_calls_are_published_too() {
    let test = Test::start().await;
    let mut events = test.graph.subscribe();
    assert_eq!(test.code(&text_to(PHONE, "")).await, 100);
    let (status, _, answer) = call(&mut events).await;
    assert_eq!((status, &answer["error"]["code"]), (Some(400), &json!(100)));

    test.graph.fail_next(1, Fault::error(500, 131_000));
    test.graph.fail_next(1, Fault::reset_before_effect());
    test.graph.fail_next(1, Fault::slow(LONG * 10));
    let body = text_to(PHONE, "x");
    assert_eq!(test.post(&body).send().await.expect("an answer").status(), 500);
    assert_eq!(call(&mut events).await.0, Some(500));
    test.post(&body).send().await.expect_err("reset");
    assert_eq!(call(&mut events).await.0, None);
    let impatient = test.post(&body).timeout(Duration::from_millis(50)).send().await;
    assert!(impatient.expect_err("too slow").is_timeout());
    assert_eq!(call(&mut events).await.0, None);
}
