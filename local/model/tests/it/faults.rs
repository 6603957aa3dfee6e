//! Fault injection, and stopping.

use std::time::Duration;

use local_model::{Fault, Outcome};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Test, conversation};

/// A deadline that a passing test never reaches.
const LONG: Duration = Duration::from_secs(30);

fn question() -> Value {
    conversation(&["Hello"])
}

#[tokio::test]
async fn scheduled_errors_apply_in_order_and_before_the_permanent_one() {
    let test = Test::start().await;
    test.model.fail_always(Some(Fault::error(503)));
    test.model.fail_next(1, Outcome::Throttled { retry_after: Some(7) }.into());
    test.model.fail_next(2, Fault::error(401));
    let throttled = test.post(&question()).send().await.unwrap();
    assert_eq!(
        (throttled.status().as_u16(), &throttled.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    let mut got = Vec::new();
    for _ in 0..3 {
        let (status, answer) = test.call(&question()).await;
        got.push((status, answer["error"]["type"].as_str().unwrap().to_owned()));
    }
    let expected = [(401, "invalid_request_error"), (401, "invalid_request_error"), (503, "server_error")];
    assert_eq!(got, expected.map(|(status, kind)| (status, kind.to_owned())));
    assert!(test.model.received().iter().all(|request| !request.billed));
    test.model.clear_faults();
    test.choice(&question()).await;
}

#[tokio::test]
async fn unusable_answers_are_successes_and_billed() {
    let test = Test::start().await;
    test.model.fail_next(1, Outcome::Garbage.into());
    let garbage = test.post(&question()).send().await.unwrap();
    assert_eq!(garbage.status(), 200);
    assert!(garbage.json::<Value>().await.is_err());
    for outcome in [Outcome::Empty, Outcome::Refusal, Outcome::ContentFilter] {
        test.model.fail_next(1, outcome.into());
    }
    assert_eq!(test.choice(&question()).await["message"]["content"], "");
    let refusal = test.choice(&question()).await;
    assert!(
        refusal["message"]["content"].is_null() && refusal["message"]["refusal"].is_string(),
        "{refusal}"
    );
    assert_eq!(test.choice(&question()).await["finish_reason"], "content_filter");
    assert!(test.model.received().iter().all(|request| request.billed));
}

#[tokio::test]
async fn only_a_conversation_longer_than_the_context_is_refused() {
    let test = Test::start().await;
    test.model.fail_always(Some(Outcome::ContextTooLong { longest: 2 }.into()));
    let (status, answer) = test.call(&conversation(&["One", "Two", "Three"])).await;
    let expected = (&json!("context_length_exceeded"), &json!("messages"));
    assert_eq!((status, (&answer["error"]["code"], &answer["error"]["param"])), (400, expected));
    test.choice(&conversation(&["Two", "Three"])).await;
    assert_eq!(test.model.received().iter().map(|request| request.billed).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn a_reset_loses_an_answer_that_is_billed() {
    let test = Test::start().await;
    test.model.fail_next(1, Outcome::Reset.into());
    let error = test.post(&question()).send().await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert!(test.model.received()[0].billed);
    test.choice(&question()).await;
}

#[tokio::test]
async fn a_slow_answer_comes_if_the_client_waits() {
    let test = Test::start().await;
    test.model.fail_next(1, Fault::slow(LONG));
    let timeout = Duration::from_millis(100);
    let error = test.post(&question()).timeout(timeout).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    test.model.fail_next(1, Fault::error(500).after(Duration::from_millis(10)));
    assert_eq!(test.call(&question()).await.0, 500);
}

#[tokio::test]
async fn an_invalid_request_does_not_consume_a_fault() {
    let test = Test::start().await;
    test.model.fail_next(1, Fault::error(500));
    assert_eq!(test.call(&json!({})).await.0, 400);
    assert_eq!(test.call(&question()).await.0, 500);
}

#[tokio::test]
async fn faults_can_be_scheduled_over_http() {
    let test = Test::start().await;
    let schedule = async |fault: Value| {
        let request = test.beside(Method::POST, "/faults").json(&fault);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(schedule(json!({"fault": "error", "status": 500})).await, 204);
    assert_eq!(
        schedule(json!({"fault": "throttled", "retry_after": 2, "delay_ms": 1, "count": 1})).await,
        204
    );
    assert_eq!(schedule(json!({"fault": "nonsense"})).await, 422);
    for expected in [429, 500, 500] {
        assert_eq!(test.call(&question()).await.0, expected);
    }
    assert_eq!(test.beside(Method::DELETE, "/faults").send().await.unwrap().status(), 204);
    test.choice(&question()).await;
}

#[tokio::test]
async fn stop_ends_pending_delays_and_frees_the_port() {
    let test = Test::start().await;
    test.model.fail_next(1, Fault::slow(LONG));
    let url = test.model.url();
    let hanging = tokio::spawn(test.post(&question()).send());
    test.model.wait_for(1, LONG).await.unwrap();
    test.model.stop().await;
    assert_eq!(hanging.await.unwrap().unwrap().status(), 200);
    assert!(test.client.get(url).send().await.unwrap_err().is_connect());
}
