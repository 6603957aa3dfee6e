use aws_lambda_events::event::sqs::SqsMessage;
use chrono::TimeDelta;
use serde_json::{Value, json};

use super::*;

const ARN: &str = "arn:aws:sqs:eu-central-1:1:inbound.fifo";

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_489_500, 0).expect("a time")
}

fn after(milliseconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::milliseconds(milliseconds)
}

fn window(milliseconds: u64) -> Window {
    Window(Duration::from_millis(milliseconds))
}

/// A message of the inbound queue that the webhook received `at` milliseconds after the start.
fn delivery(message: &Value, at: i64, receive_count: u32) -> Delivery {
    let received_at = after(at);
    let metadata = json!({"phone_number_id": "106540352242922"});
    let received = json!({"received_at": received_at, "metadata": metadata, "message": message});
    let mut record = SqsMessage::default();
    record.body = Some(json!({"v1": {"message": received}}).to_string());
    record.event_source_arn = Some(ARN.to_owned());
    record.attributes.insert("ApproximateReceiveCount".to_owned(), receive_count.to_string());
    record.into()
}

fn text(id: &str, body: &str) -> Value {
    json!({"from": "16505551234", "id": id, "type": "text", "text": {"body": body}})
}

fn texts(times: &[(i64, u32)]) -> Vec<Delivery> {
    let one = |(number, (at, count)): (usize, &(i64, u32))| {
        delivery(&text(&format!("wamid.{number}"), "hello"), *at, *count)
    };
    times.iter().enumerate().map(one).collect()
}

fn reaction(id: &str) -> Value {
    json!({"from": "16505551234", "id": id, "type": "reaction",
        "reaction": {"message_id": "wamid.0", "emoji": "👍"}})
}

#[test]
fn a_turn_is_the_unbroken_run_of_one_sender() {
    let other = json!({"from": "16505550000", "id": "wamid.o", "type": "text", "text": {"body": "hi"}});
    let in_group = json!({"from": "16505551234", "id": "wamid.g", "group_id": "g", "type": "text",
        "text": {"body": "hi"}});
    let code = text("wamid.c", "My code is AB4CD-EF7GH");
    let now = after(10_000);
    for breaking in [other, in_group, code] {
        let mut group = texts(&[(0, 1), (100, 1)]);
        group.push(delivery(&breaking, 200, 1));
        group.extend(texts(&[(300, 1)]));
        assert_eq!(window(2000).turn(&group, now), 2, "{breaking}");
        assert_eq!(window(2000).turn(&group[2..], now), 1, "{breaking}");
        assert_eq!(Window::OFF.turn(&group, now), 1, "{breaking}");
    }
    let mut group = texts(&[(0, 1)]);
    group.push(delivery(&reaction("wamid.r"), 100, 1));
    group.extend(texts(&[(200, 1)]));
    assert_eq!(window(2000).turn(&group, now), 3, "a reaction does not end a turn");
    assert_eq!(window(2000).turn(&group[1..], now), 1, "a reaction does not start a turn");
    assert_eq!(window(2000).hold(&group[1..2], after(100)), None, "a reaction is not held");
}

#[test]
fn a_late_copy_is_a_turn_of_its_own() {
    let written = |seconds: i64| {
        let mut message = text("wamid.l", "hello");
        message["timestamp"] = json!((start().timestamp() + seconds).to_string());
        message
    };
    let now = after(10_000);
    for (seconds, turn) in [(-300, 1), (-5, 1), (0, 2)] {
        let first = delivery(&written(0), 500, 1);
        let group = [first, delivery(&written(seconds), 1_000, 1)];
        assert_eq!(window(2000).turn(&group, now), turn, "{seconds}");
    }
    let late = [delivery(&written(-300), 500, 1)];
    assert_eq!(window(2000).hold(&late, after(600)), None, "it is not held");
}

#[test]
fn a_turn_is_held_until_the_window_of_its_newest_message_ends() {
    let window = window(2000);
    let held = |times: &[(i64, u32)], now| window.hold(&texts(times), after(now)).map(|rest| rest.as_secs());
    assert_eq!(held(&[(0, 1)], 0), Some(2));
    assert_eq!(held(&[(0, 1)], 1), Some(2), "rounded up to whole seconds");
    assert_eq!(held(&[(0, 1)], 1001), Some(1));
    assert_eq!(held(&[(0, 1)], 2000), None);
    assert_eq!(held(&[(0, 2), (1500, 1)], 2000), Some(2));
    assert_eq!(held(&[(0, 3), (1500, 2)], 3500), None);
    // At most five windows after the first.
    assert_eq!(held(&[(0, 2), (9900, 1)], 9950), Some(1));
    assert_eq!(held(&[(0, 2), (9900, 1)], 10_000), None);
    assert_eq!(held(&[(0, 11)], 0), None, "received too often to be held");
    // The clock of the webhook is ahead.
    assert_eq!(held(&[(60_000, 1)], 0), Some(2));
    assert_eq!(Window::OFF.hold(&texts(&[(0, 1)]), after(0)), None);
}

#[test]
fn receives_at_which_messages_were_held_are_not_tries() {
    let window = window(2000);
    let tries = |times: &[(i64, u32)], now| window.tries(&texts(times), after(now));
    assert_eq!(tries(&[(0, 1)], 2000), 1);
    assert_eq!(tries(&[(0, 4), (1500, 3), (3000, 1)], 5000), 1);
    // The first backoff is at least two seconds, the second eight.
    assert_eq!(tries(&[(0, 4)], 3999), 1);
    assert_eq!(tries(&[(0, 4)], 4000), 2);
    assert_eq!(tries(&[(0, 4)], 12_000), 3);
    assert_eq!(tries(&[(0, 2)], 60_000), 2, "not more than receives");
    assert_eq!(Window::OFF.tries(&texts(&[(0, 7)]), after(0)), 7);
}

#[test]
fn a_retry_leaves_new_messages_to_the_next_turn() {
    let window = window(2000);
    // Received together for the first time when the hold ended.
    assert_eq!(window.turn(&texts(&[(0, 2), (1500, 1)]), after(3500)), 2);
    // An attempt was made at 2000, and failed.
    assert_eq!(window.turn(&texts(&[(0, 3), (5000, 1)]), after(7000)), 1);
    assert_eq!(window.turn(&texts(&[(0, 3), (500, 2), (5000, 1)]), after(7000)), 2);
}

#[test]
fn a_late_redelivery_after_a_hold_is_no_retry() {
    let window = window(2000);
    let mut group = texts(&[(0, 2), (1000, 1)]);
    assert_eq!(window.turn(&group, after(4100)), 1, "held or tried at its first receive");
    group[0].first_received_at = Some(after(50));
    assert_eq!((window.turn(&group, after(4100)), window.tries(&group, after(4100))), (2, 1));
    // In the second half, it may have been tried at the end of the window.
    group[0].first_received_at = Some(after(1000));
    assert_eq!(window.tries(&group, after(5100)), 2);
}

#[test]
fn a_window_is_a_number_of_milliseconds() {
    assert_eq!("2000".parse(), Ok(window(2000)));
    assert_eq!("0".parse(), Ok(Window::OFF));
    assert_eq!("30001".parse::<Window>(), Err(WindowError::TooLong));
    for text in ["", "2s", "-1", "1.5"] {
        assert!(matches!(text.parse::<Window>(), Err(WindowError::Number(_))), "{text}");
    }
}

proptest::proptest! {
    /// Two consecutive holds advance by at least a window.
    #[test]
    fn a_turn_is_held_for_at_most_five_windows_and_ten_receives(
        milliseconds in 1u64..30_000,
        gaps in proptest::collection::vec(0i64..40_000, 0..60),
        lag in 0i64..300,
    ) {
        let window = window(milliseconds);
        let mut arrivals = vec![0];
        arrivals.extend(gaps.iter().scan(0, |at, gap| {
            *at += gap;
            Some(*at)
        }));
        let (mut now, mut receives) = (0, 1);
        loop {
            let received: Vec<_> = arrivals.iter().filter(|at| **at <= now).map(|at| (*at, receives)).collect();
            let Some(rest) = window.hold(&texts(&received), after(now)) else { break };
            proptest::prop_assert!(now < 5 * milliseconds as i64);
            now += rest.as_millis() as i64 + lag;
            receives += 1;
        }
        proptest::prop_assert!(now <= 5 * milliseconds as i64 + 1000 + lag);
        proptest::prop_assert!(receives <= HOLDS + 1, "{}", receives);
        if receives <= HOLDS {
            let newest = arrivals.iter().filter(|at| **at <= now).max().expect("the first");
            let end = (newest + milliseconds as i64).min(5 * milliseconds as i64);
            proptest::prop_assert!(now >= end);
        }
    }
}
