//! Counters, the basis of alarms and dashboards.

use std::time::Duration;

use reply::batch::{Disposition, Handle as _};
use reply::delivery::Delivery;
use reply::history::row_id;
use reply::responder::{Echo, NoAnswer, Question, Responder, Response};
use serde_json::json;
use shared::lambda::deadline::Deadline;
use shared::supabase::rows::Role;
use wiremock::ResponseTemplate;

use shared_testing::logs::Logs;

use crate::support::*;

/// The level and counter of each log line with a counter.
async fn counted(world: &World, delivery: Delivery) -> Vec<String> {
    let logs = Logs::capture();
    world.reply(Echo).handle(&delivery, Deadline::NONE).await;
    logs.counted().into_iter().map(|(level, counter)| format!("{level} {counter}")).collect()
}

fn event() -> String {
    let event = json!({"received_at": "2025-06-08T20:59:43.500Z", "name": "account_update", "value": {}});
    json!({"v1": {"event": event}}).to_string()
}

fn status() -> String {
    let status = json!({"id": "wamid.answer", "status": "read", "timestamp": "1749416390"});
    json!({"v1": {"status": {"received_at": "2025-06-08T20:59:43.500Z", "status": status}}}).to_string()
}

fn rows() -> String {
    json!({"v1": {"record": {"user_id": USER, "sender": "16505551234", "wamid": "wamid.Q",
        "question": {"content": "Hello", "at": "2025-06-08T20:59:43Z"}}}})
    .to_string()
}

#[tokio::test]
async fn each_outcome_has_its_counter() {
    let unlinked = || ResponseTemplate::new(200).set_body_json(json!([]));
    let before =
        ResponseTemplate::new(200).set_body_json(json!([{"id": row_id(&"wamid.Q".into(), &Role::User)}]));
    let image = json!({"from": "16505551234", "id": "w", "type": "image", "image": {"id": "1"}});
    let inbound = |body: &str| delivery(body.to_owned(), 1);
    let question = envelope(&text());
    let cases: [(Answers, Delivery, &[&str]); 9] = [
        (all_well(), inbound(&question), &["INFO answered_messages"]),
        (Answers { lookup: unlinked(), ..all_well() }, inbound(&question), &["INFO registration_texts"]),
        (all_well(), inbound(&envelope(&image)), &["INFO recorded_messages"]),
        (Answers { recorded: before, ..all_well() }, inbound(&question), &["INFO handled_messages"]),
        (all_well(), inbound(&status()), &["INFO handled_statuses"]),
        (all_well(), inbound(&event()), &["INFO stored_events", "INFO handled_events"]),
        (all_well(), record_delivery(&rows()), &["INFO handled_messages"]),
        (
            Answers { insert: ResponseTemplate::new(503), ..all_well() },
            inbound(&question),
            &["ERROR deferred_records", "INFO answered_messages"],
        ),
        (
            Answers { stored: ResponseTemplate::new(503), ..all_well() },
            inbound(&status()),
            &["WARN deferred_updates", "INFO handled_statuses"],
        ),
    ];
    for (answers, delivery, expected) in cases {
        let world = World::new(answers).await;
        assert_eq!(counted(&world, delivery).await, expected);
    }
}

#[tokio::test]
async fn each_failure_has_its_counter() {
    let unavailable = || ResponseTemplate::new(503);
    let question = || delivery(envelope(&text()), 1);
    for (answers, delivery, expected) in [
        (Answers { send: unavailable(), ..all_well() }, question(), "ERROR graph_passing_errors"),
        (Answers { send: graph_error(401, 190), ..all_well() }, question(), "ERROR graph_account_errors"),
        (
            Answers { send: graph_error(400, 131_048), ..all_well() },
            question(),
            "ERROR graph_slow_down_errors",
        ),
        (all_well(), delivery("{}".to_owned(), 1), "ERROR unreadable_envelopes"),
        (Answers { insert: unavailable(), ..all_well() }, record_delivery(&rows()), "ERROR waiting_records"),
    ] {
        let world = World::new(answers).await;
        assert_eq!(counted(&world, delivery).await, [expected]);
    }
    // Neither the database nor the queue accepts the rows of a sent answer.
    let mut world = World::new(Answers { insert: unavailable(), ..all_well() }).await;
    world.queues.refuses = true;
    let expected = ["ERROR deferred_records", "ERROR duplicate_reply_risk", "ERROR unrecorded_messages"];
    assert_eq!(counted(&world, question()).await, expected);
    assert_eq!(world.sends().await.len(), 1);
}

#[tokio::test]
async fn late_failures_and_charges_are_counted_once() {
    let status = |name: &str, more: serde_json::Value| {
        let mut status = json!({"id": "wamid.answer", "status": name, "timestamp": "1749416390"});
        status.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"v1": {"status": {"received_at": "2025-06-08T20:59:43.500Z", "status": status}}}).to_string()
    };
    let failed = |code: i64| status("failed", json!({"errors": [{"code": code}]}));
    let billed = |name: &str, billable: bool| {
        status(name, json!({"pricing": {"billable": billable, "type": "regular", "category": "service"}}))
    };
    let world = World::new(all_well()).await;
    for (body, expected) in [
        (failed(131_026), &["WARN failed_answers"][..]),
        (failed(131_042), &["WARN failed_answers", "WARN graph_account_errors"]),
        (failed(190), &["WARN failed_answers", "WARN graph_account_errors"]),
        (status("failed", json!({})), &["WARN failed_answers"]),
        (billed("sent", true), &[]),
        (billed("delivered", true), &["INFO billed_messages"]),
        (billed("delivered", false), &[]),
    ] {
        let expected = [expected, &["INFO handled_statuses"]].concat();
        assert_eq!(counted(&world, delivery(body, 1)).await, expected);
    }
    // A redelivery: the row exists.
    let again = ResponseTemplate::new(201).set_body_json(json!([]));
    let world = World::new(Answers { stored: again, ..all_well() }).await;
    for body in [failed(131_042), billed("delivered", true)] {
        assert_eq!(counted(&world, delivery(body, 1)).await, ["INFO handled_statuses"]);
    }
    // Not written yet: counted when it is written.
    let world = World::new(Answers { stored: ResponseTemplate::new(503), ..all_well() }).await;
    let expected = ["WARN deferred_updates", "INFO handled_statuses"];
    assert_eq!(counted(&world, delivery(failed(131_042), 1)).await, expected);
}

#[tokio::test]
async fn a_message_returned_after_ten_minutes_is_overdue() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Echo);
    let waiting = |minutes| Delivery {
        sent_at: Some(chrono::Utc::now() - chrono::TimeDelta::minutes(minutes)),
        ..delivery(envelope(&text()), 2)
    };
    let logs = Logs::capture();
    for fresh in [
        waiting(9),
        Delivery { sent_at: None, ..waiting(9) },
        Delivery { source: reply::delivery::Source::Records, ..waiting(60) },
    ] {
        reply.hide(&fresh, Duration::ZERO, Deadline::NONE).await;
        assert!(logs.counted().is_empty());
    }
    reply.hide(&waiting(11), Duration::ZERO, Deadline::NONE).await;
    assert_eq!(logs.counted(), [("WARN".to_owned(), "overdue_messages".to_owned())]);
}

/// A responder that always fails, and may say when to ask it again.
struct Overloaded(Option<Duration>);

impl Responder for Overloaded {
    async fn respond(&self, _: Question<'_>) -> Result<Response, NoAnswer> {
        Err(NoAnswer { reason: "the model is overloaded".to_owned(), wait: self.0 })
    }
}

#[tokio::test]
async fn a_retry_that_the_responder_asks_for_is_no_error_of_a_new_version() {
    for (wait, level) in [(None, "ERROR"), (Some(Duration::from_secs(4)), "WARN")] {
        let world = World::new(all_well()).await;
        let logs = Logs::capture();
        let reply = world.reply(Overloaded(wait));
        assert!(is_returned(reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await));
        assert_eq!(logs.counted(), [(level.to_owned(), "missing_answers".to_owned())]);
    }
}

#[tokio::test]
async fn retries_and_quarantined_messages_are_counted() {
    let world = World::new(all_well()).await;
    let logs = Logs::capture();
    let counters = || logs.counted().into_iter().map(|(_, counter)| counter).collect::<Vec<_>>();
    let reply = world.reply(Overloaded(None));
    assert!(is_returned(reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await));
    assert_eq!(counters(), ["missing_answers"]);
    assert!(is_returned(reply.handle(&delivery(envelope(&text()), 2), Deadline::NONE).await));
    assert_eq!(counters(), ["repeated_attempts", "missing_answers"], "every attempt after the first");
    assert_eq!(reply.panicked(&[delivery(envelope(&text()), 3)], Deadline::NONE).await, Disposition::Delete);
    assert_eq!(counters(), ["quarantined_messages"]);
}

#[tokio::test]
async fn a_handled_delivery_is_one_log_line_with_its_outcome() {
    let world = World::new(all_well()).await;
    for (delivery, expected) in [
        (delivery(envelope(&text()), 1), ["message", "text", "answered"]),
        (delivery(status(), 1), ["status", "read", "stored"]),
        (delivery(event(), 1), ["event", "account_update", "event_stored"]),
        (record_delivery(&rows()), ["record", "", "recorded"]),
    ] {
        let logs = Logs::capture();
        assert_eq!(world.reply(Echo).handle(&delivery, Deadline::NONE).await, Disposition::Delete);
        let lines: Vec<_> = logs.take().into_iter().filter(|line| line.contains_key("duration_ms")).collect();
        let line = lines.iter().rfind(|line| line.contains_key("outcome")).expect("a line");
        let shown = ["update", "name", "outcome"].map(|name| line.get(name).map_or("", String::as_str));
        assert_eq!(shown, expected);
    }
}
