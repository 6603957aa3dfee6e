//! Fault injection, waiting, and stopping.

use std::time::Duration;

use local_graph::{Effect, Fault, TooFew};

use crate::common::{PHONE, Test, answer, code, text_to};

/// A deadline that a passing test never reaches.
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn scheduled_errors_apply_in_order() {
    let test = Test::start().await;
    test.graph.fail_next(2, Fault::error(429, 130_429));
    test.graph.fail_next(1, Fault::error(500, 131_000));
    let mut got = Vec::new();
    for _ in 0..3 {
        let (status, body) = answer(test.post(&text_to(PHONE, "x"))).await;
        got.push((status, code(&body)));
    }
    assert_eq!(got, [(429, 130_429), (429, 130_429), (500, 131_000)]);
    assert!(test.graph.received().is_empty());
    test.ok(&text_to(PHONE, "x")).await;
}

#[tokio::test]
async fn invalid_send_does_not_consume_a_fault() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault::error(503, 2));
    assert_eq!(test.code(&text_to(PHONE, "")).await, 100);
    assert_eq!(answer(test.post(&text_to(PHONE, "x"))).await.0, 503);
}

#[tokio::test]
async fn faults_can_be_limited_to_a_recipient() {
    let test = Test::start().await;
    test.graph.fail_recipient("+16505551234", Some(1), Fault::error(400, 131_047));
    test.graph.fail_recipient("16505551234", None, Fault::error(400, 131_056));
    test.ok(&text_to("16505555678", "x")).await;
    for expected in [131_047, 131_056, 131_056] {
        assert_eq!(test.code(&text_to(PHONE, "x")).await, expected);
    }
    test.graph.clear_faults();
    test.ok(&text_to(PHONE, "x")).await;
}

#[tokio::test]
async fn reset_before_the_effect_delivers_nothing() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault::reset_before_effect());
    let error = test.post(&text_to(PHONE, "x")).send().await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert!(test.graph.received().is_empty());
    test.ok(&text_to(PHONE, "x")).await;
}

#[tokio::test]
async fn reset_after_the_effect_delivers_the_message() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault::reset_after_effect());
    test.post(&text_to(PHONE, "x")).send().await.unwrap_err();
    assert_eq!(test.graph.received().len(), 1);
}

#[tokio::test]
async fn error_can_follow_a_delivered_message() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault { effect: Effect::BeforeFault, ..Fault::error(500, 1) });
    assert_eq!(answer(test.post(&text_to(PHONE, "x"))).await.0, 500);
    assert_eq!(test.graph.received().len(), 1);
}

#[tokio::test]
async fn hanging_server_times_out_with_or_without_the_effect() {
    let test = Test::start().await;
    let timeout = Duration::from_millis(200);
    for (fault, messages) in [(Fault::slow(LONG), 0), (Fault::late_response(LONG), 1)] {
        test.graph.clear();
        test.graph.fail_next(1, fault);
        let error = test.post(&text_to(PHONE, "x")).timeout(timeout).send().await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(test.graph.received().len(), messages);
    }
    test.graph.stop().await;
}

#[tokio::test]
async fn delayed_send_takes_effect_if_the_client_waits() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault::slow(Duration::from_millis(50)));
    test.ok(&text_to(PHONE, "x")).await;
    assert_eq!(test.graph.received().len(), 1);
}

#[tokio::test]
async fn wait_returns_enough_messages_or_their_number() {
    let test = Test::start().await;
    let send = async {
        test.ok(&text_to(PHONE, "one")).await;
        test.ok(&text_to(PHONE, "two")).await;
    };
    let (received, ()) = tokio::join!(test.graph.wait_for(2, LONG), send);
    let bodies: Vec<_> = received.unwrap().into_iter().filter_map(|message| message.body).collect();
    assert_eq!(bodies, ["one", "two"]);
    let too_few = test.graph.wait_for(3, Duration::from_millis(1)).await;
    assert_eq!(too_few, Err(TooFew { wanted: 3, got: 2 }));
}

#[tokio::test]
async fn stop_ends_pending_delays_and_frees_the_port() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault::late_response(LONG));
    let url = test.graph.url();
    let hanging = tokio::spawn(test.post(&text_to(PHONE, "x")).send());
    test.graph.wait_for(1, LONG).await.unwrap();
    test.graph.stop().await;
    assert_eq!(hanging.await.unwrap().unwrap().status(), 200);
    assert!(test.client.get(url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn dropping_the_fake_stops_it() {
    let test = Test::start().await;
    let url = format!("{}/received", test.graph.url());
    assert_eq!(answer(test.client.get(&url)).await.0, 200);
    drop(test.graph);
    let refused = async { while test.client.get(&url).send().await.is_ok() {} };
    tokio::time::timeout(LONG, refused).await.unwrap();
}

#[tokio::test]
async fn permanent_fault_applies_after_scheduled_faults() {
    let test = Test::start().await;
    test.graph.fail_always(Some(Fault::error(500, 131_000)));
    test.graph.fail_next(1, Fault::error(429, 130_429));
    let mut got = Vec::new();
    for _ in 0..3 {
        got.push(answer(test.post(&text_to(PHONE, "x"))).await.0);
    }
    assert_eq!(got, [429, 500, 500]);
    test.graph.fail_always(None);
    test.ok(&text_to(PHONE, "x")).await;
}
