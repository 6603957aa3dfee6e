//! Messages that are answered together, and replies that are not sent again, on the real binaries: as the page shows them.

use std::time::Duration;

use local_graph::Fault;
use local_stack::Options;
use serde_json::{Value, json};

use crate::page::{Played, Shown};
use local_testing::{PHONE_A, rows};

/// Starts a page, with a window in milliseconds.
async fn start(reply_window: u32) -> Played {
    Played::start_with(Options { reply_window, ..Options::default() }).await
}

/// Whether the statuses `sent` and `delivered` of a message's reply are stored or applied.
fn has_statuses(shown: &Shown, wamid: &str) -> bool {
    let statuses = shown.message(wamid)["statuses"].as_array().cloned().unwrap_or_default();
    statuses.len() == 2 && statuses.iter().all(|status| !status["outcome"].is_null())
}

/// The number of log lines with this value of a field.
fn lines(played: &Played, field: &str, value: &str) -> usize {
    let lines = played.stack.logs.since(Default::default());
    lines.iter().filter(|line| line.field(field) == value).count()
}

/// Waits until these messages, the only ones, are answered, recorded and done.
async fn until_done(played: &Played, wamids: &[String], outcome: &str) -> Shown {
    played.until_all_are_recorded(wamids.len() as u64).await;
    let is_done = |shown: &Shown, wamid: &String| {
        let message = shown.message(wamid);
        message["state"] == "done" && message["reply"]["outcome"] == outcome
    };
    played.until(outcome, |shown| wamids.iter().all(|wamid| is_done(shown, wamid))).await
}

#[tokio::test]
async fn a_burst_within_the_window_gets_one_answer_and_six_rows() {
    let played = start(2000).await;
    let mut wamids = Vec::new();
    for text in ["One", "Two", "Three", "Four", "Five"] {
        wamids.push(played.text("a", text).await);
    }
    let shown = until_done(&played, &wamids, "answered").await;
    let received = played.stack.services.graph.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(received[0].body.as_deref(), Some("One\nTwo\nThree\nFour\nFive"));
    assert_eq!(received[0].quotes.as_ref(), wamids.last());
    assert_eq!(rows(&played.stack).await.len(), 6);
    // The later ones wait behind the first, which is held.
    assert!(shown.message(&wamids[0])["reply"]["held_ms"].as_u64() >= Some(1000));
    assert_eq!((lines(&played, "outcome", "answered"), &shown.counters["answered"]), (5, &json!(1)));
    for wamid in &wamids {
        let reply = &shown.message(wamid)["reply"];
        assert_eq!((&reply["joined"], &reply["attempts"]), (&json!(5), &json!(1)), "{reply}");
    }
    played.stop().await;
}

#[tokio::test]
async fn without_a_window_each_message_of_a_burst_is_answered() {
    let played = start(0).await;
    let (wamids, _) = played.send("a", &json!({"burst": 5})).await;
    let shown = until_done(&played, &wamids, "answered").await;
    let received = played.stack.services.graph.received();
    assert_eq!(received.iter().filter_map(|reply| reply.quotes.clone()).collect::<Vec<_>>(), wamids);
    assert_eq!(rows(&played.stack).await.len(), 10);
    assert_eq!((lines(&played, "outcome", "held"), &shown.counters["answered"]), (0, &json!(5)));
    for wamid in &wamids {
        let reply = &shown.message(wamid)["reply"];
        assert_eq!((&reply["joined"], &reply["held_ms"]), (&Value::Null, &json!(0)), "{reply}");
    }
    played.stop().await;
}

#[tokio::test]
async fn a_turn_whose_rows_wait_or_are_dropped_is_counted_once_a_message() {
    let played = start(1000).await;
    played.switch("database-down", true).await;
    let mut wamids = Vec::new();
    // The second sender is unlinked, which is unknown without the database.
    for phone in ["a", "unlinked"] {
        wamids.extend(played.send(phone, &json!({"burst": 3})).await.0);
    }
    let waits = |shown: &Shown| {
        let is_deferred = |wamid: &String| shown.message(wamid)["database"]["deferred"] == true;
        wamids.iter().all(is_deferred) && shown.counters["waiting"] == 6
    };
    played.until("the rows of both turns wait", waits).await;
    played.switch("database-down", false).await;
    let shown = played.until_all_are_recorded(6).await;
    assert_eq!(shown.counters["answered"], 2);
    assert_eq!(rows(&played.stack).await.len(), 4);
    let is_done = |shown: &Shown| wamids.iter().all(|wamid| shown.message(wamid)["state"] == "done");
    played.until("all are done", is_done).await;
    played.stop().await;
}

#[tokio::test]
async fn every_message_of_a_turn_that_cannot_be_answered_becomes_a_dead_letter() {
    let played = start(1000).await;
    played.switch("graph-token-expired", true).await;
    let (wamids, _) = played.send("a", &json!({"burst": 3})).await;
    let failed = |shown: &Shown| {
        let is_returned = |wamid: &String| shown.message(wamid)["reply"]["outcome"] == "returned";
        wamids.iter().all(is_returned)
    };
    played.until("all are returned", failed).await;
    let is_dead = |shown: &Shown, wamid: &String| shown.message(wamid)["state"] == "dead";
    for count in 1..=wamids.len() {
        let postponed = |shown: &Shown| {
            let queue = &shown.message(&wamids[count - 1])["queue"];
            queue["state"] == "waiting" && !queue["visible_at"].is_null()
        };
        played.until("it is postponed", postponed).await;
        assert_eq!(played.post("/page/faults/last-attempt", &json!({})).await.0, 200);
        let dead = |shown: &Shown| wamids.iter().filter(|wamid| is_dead(shown, wamid)).count() >= count;
        played.until("it is a dead letter", dead).await;
    }
    played.switch("graph-token-expired", false).await;
    assert_eq!(played.post("/page/dead-letters/redrive", &json!({})).await.0, 200);
    until_done(&played, &wamids, "answered").await;
    assert_eq!(rows(&played.stack).await.len() - 3, played.stack.services.graph.received().len());
    played.stop().await;
}

#[tokio::test]
async fn a_reply_killed_after_the_send_sends_no_second_answer_when_a_status_has_come() {
    for window in [0, 1000] {
        let played = start(window).await;
        // The reply is sent; the function is killed while it waits for Meta's response.
        let never = Fault::late_response(Duration::from_secs(300));
        played.stack.services.graph.fail_recipient(PHONE_A, Some(1), never);
        let wamid = played.text("a", "Hello").await;
        played.until("the statuses are stored", |shown| has_statuses(shown, &wamid)).await;
        for action in ["kill-reply", "skip-backoff"] {
            let (status, answer) = played.post(&format!("/page/faults/{action}"), &json!({})).await;
            assert!(
                status == 200 && !answer["done"].as_str().unwrap_or_default().contains("No "),
                "{answer}"
            );
        }
        assert_one_answer(&played, &wamid).await;
        played.stop().await;
    }
}

#[tokio::test]
async fn a_lost_response_sends_no_second_answer_when_a_status_has_come() {
    let played = start(0).await;
    played.switch("graph-lost", true).await;
    let wamid = played.text("a", "Hello").await;
    let failed = |shown: &Shown| {
        shown.message(&wamid)["reply"]["outcome"] == "returned" && has_statuses(shown, &wamid)
    };
    played.until("the response is lost and the statuses are stored", failed).await;
    played.switch("graph-lost", false).await;
    assert_one_answer(&played, &wamid).await;
    played.stop().await;
}

/// Waits for the rows of a message, whose reply was sent once: by an attempt that did not learn of it.
async fn assert_one_answer(played: &Played, wamid: &str) {
    until_done(played, &[wamid.to_owned()], "answered").await;
    assert_eq!(played.stack.services.graph.received().len(), 1);
    assert_eq!(rows(&played.stack).await.len(), 2);
    assert_eq!(lines(played, "counter", "confirmed_replies"), 1);
    // The row has the wamid that the status names, so that later statuses find it.
    let is_delivered = |shown: &Shown| shown.message(wamid)["database"]["rows"][1]["status"] == "delivered";
    played.until("the row has the status", is_delivered).await;
}
