//! Following calls as they happen.

use std::time::Duration;

use local_graph::{Fault, Happened};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;

use crate::common::{PHONE, Test, text_to};

/// A deadline that only a broken run reaches.
const LONG: Duration = Duration::from_secs(30);

async fn next(events: &mut Receiver<Happened>) -> Happened {
    tokio::time::timeout(LONG, events.recv()).await.expect("in time").expect("an event")
}

/// The next event, which is a call: its status and answer.
async fn call(events: &mut Receiver<Happened>) -> (Option<u16>, Value, Value) {
    match next(events).await {
        Happened::Called(call) => (call.status, call.request, call.answer),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_send_is_told_when_it_takes_effect_and_when_it_is_answered() {
    let test = Test::start().await;
    let mut events = test.graph.follow();
    let body = text_to(PHONE, "hi");
    let answer = test.ok(&body).await;
    let Happened::Accepted(received) = next(&mut events).await else { panic!("not accepted") };
    assert_eq!((received.body.as_deref(), &answer["messages"][0]["id"]), (Some("hi"), &json!(received.id)));
    assert_eq!(call(&mut events).await, (Some(200), body, answer));

    test.ok(&json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"})).await;
    let Happened::Read(receipt) = next(&mut events).await else { panic!("not read") };
    assert_eq!(receipt.message_id, "wamid.1");
    assert_eq!(call(&mut events).await.0, Some(200));
}

#[tokio::test]
async fn what_is_rejected_scripted_or_never_answered_is_told_too() {
    let test = Test::start().await;
    let mut events = test.graph.follow();
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
