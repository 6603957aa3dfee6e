//! Scripted faults, waiting, and stopping.

use std::time::Duration;

use local_graph::{Effect, Fault, TooFew};

use crate::common::{PHONE, Test, answer, code, text_to};

/// A deadline that only a broken run reaches.
const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn the_next_sends_meet_scripted_errors_in_order() {
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
async fn an_invalid_send_uses_no_fault_up() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault::error(503, 2));
    assert_eq!(test.code(&text_to(PHONE, "")).await, 100);
    assert_eq!(answer(test.post(&text_to(PHONE, "x"))).await.0, 503);
}

#[tokio::test]
async fn one_recipient_can_fail_while_others_do_not() {
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
async fn a_connection_reset_before_the_effect_leaves_nothing_behind() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault::reset_before_effect());
    let error = test.post(&text_to(PHONE, "x")).send().await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert!(test.graph.received().is_empty());
    test.ok(&text_to(PHONE, "x")).await;
}

#[tokio::test]
async fn a_connection_reset_after_the_effect_has_sent_the_message() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault::reset_after_effect());
    test.post(&text_to(PHONE, "x")).send().await.unwrap_err();
    assert_eq!(test.graph.received().len(), 1);
}

#[tokio::test]
async fn an_error_can_come_after_the_message_went_out() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault { effect: Effect::BeforeFault, ..Fault::error(500, 1) });
    assert_eq!(answer(test.post(&text_to(PHONE, "x"))).await.0, 500);
    assert_eq!(test.graph.received().len(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_makes_the_client_give_up_with_or_without_the_effect() {
    let test = Test::start().await;
    let give_up = Duration::from_millis(200);
    for (fault, messages) in [(Fault::slow(LONG), 0), (Fault::late_answer(LONG), 1)] {
        test.graph.clear();
        test.graph.fail_next(1, fault);
        let error = test.post(&text_to(PHONE, "x")).timeout(give_up).send().await.unwrap_err();
        assert!(error.is_timeout(), "{error:?}");
        assert_eq!(test.graph.received().len(), messages);
    }
    test.graph.stop().await;
}

#[tokio::test]
async fn a_delayed_send_takes_effect_when_the_client_stays() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault::slow(Duration::from_millis(50)));
    test.ok(&text_to(PHONE, "x")).await;
    assert_eq!(test.graph.received().len(), 1);
}

#[tokio::test]
async fn waiting_ends_when_enough_messages_are_there_or_says_how_many_were() {
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
async fn stopping_ends_what_hangs_and_frees_the_port() {
    let test = Test::start().await;
    test.graph.fail_next(1, Fault::late_answer(LONG));
    let url = test.graph.url();
    let hanging = tokio::spawn(test.post(&text_to(PHONE, "x")).send());
    test.graph.wait_for(1, LONG).await.unwrap();
    test.graph.stop().await;
    assert_eq!(hanging.await.unwrap().unwrap().status(), 200);
    assert!(test.client.get(url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn dropping_it_stops_it() {
    let test = Test::start().await;
    let url = format!("{}/received", test.graph.url());
    assert_eq!(answer(test.client.get(&url)).await.0, 200);
    drop(test.graph);
    let refused = async { while test.client.get(&url).send().await.is_ok() {} };
    tokio::time::timeout(LONG, refused).await.unwrap();
}

#[tokio::test]
async fn every_send_fails_until_told_otherwise_and_scripted_faults_come_first() {
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
