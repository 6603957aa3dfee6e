//! Statuses and events.

use reply::batch::Disposition;
use reply::responder::Echo;
use serde_json::{Value, json};
use shared::lambda::deadline::Deadline;
use wiremock::ResponseTemplate;

use crate::support::*;

fn status(status: &Value) -> String {
    json!({"v1": {"status": {"received_at": "2025-06-08T20:59:43.500Z", "status": status}}}).to_string()
}

fn failed() -> Value {
    json!({"id": "wamid.answer", "status": "failed", "timestamp": "1749416390", "recipient_id": "16505551234",
        "errors": [{"code": 131049, "title": "Not delivered"}]})
}

#[tokio::test]
async fn a_status_is_one_insert_that_returns_its_message() {
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(status(&failed())).await, Disposition::Delete);
    let insert = world.writes("POST", "message_statuses").await.remove(0);
    assert_eq!(insert.url.query(), Some("on_conflict=id&select=message_id"));
    assert_eq!(insert.headers["prefer"], "resolution=ignore-duplicates,return=representation");
    let row = json_of(&insert).as_array().expect("rows")[0].clone();
    assert_eq!((&row["wamid"], &row["status"]), (&json!("wamid.answer"), &json!("failed")));
    assert_eq!((&row["error_code"], &row["error_text"]), (&json!(131_049), &json!("Not delivered")));
    assert_eq!((&row["at"], &row["payload"]), (&json!("2025-06-08T20:59:50Z"), &failed()));
    assert!(world.sends().await.is_empty() && world.inserts().await.is_empty());
    // A call's status does not belong to a message: it is an event.
    let call = json!({"id": "wacid.1", "status": "RINGING", "type": "call"});
    assert_eq!(world.handle(status(&call)).await, Disposition::Delete);
    assert_eq!(json_of(&world.writes("POST", "account_events").await[0])[0]["payload"], call);
}

#[tokio::test]
async fn an_event_is_one_idempotent_insert() {
    let world = World::new(all_well()).await;
    let value = json!({"event": "ACCOUNT_VIOLATION"});
    let event = json!({"v1": {"event": {"received_at": "2025-06-08T20:59:43.500Z", "waba_id": "102290129340398",
        "name": "account_update", "value": value}}});
    assert_eq!(world.handle(event.to_string()).await, Disposition::Delete);
    let inserts = world.writes("POST", "account_events").await;
    let [insert] = inserts.as_slice() else { panic!("{} inserts", inserts.len()) };
    assert_eq!(insert.url.query(), Some("on_conflict=id"));
    assert_eq!(insert.headers["prefer"], "resolution=ignore-duplicates,return=minimal");
    let row = json_of(insert)[0].clone();
    assert_eq!((&row["field"], &row["payload"]), (&json!("account_update"), &value));
    assert_eq!(
        (&row["waba_id"], &row["received_at"]),
        (&json!("102290129340398"), &json!("2025-06-08T20:59:43.500Z"))
    );
}

#[tokio::test]
async fn statuses_and_events_that_the_database_refuses_are_deferred() {
    let value = json!({"event": "ACCOUNT_VIOLATION"});
    let event = json!({"v1": {"event": {"received_at": "2025-06-08T20:59:43.500Z", "name": "account_update", "value": value}}});
    for body in [status(&failed()), event.to_string()] {
        let mut world = World::new(Answers { stored: ResponseTemplate::new(503), ..all_well() }).await;
        assert_eq!(world.handle(body.clone()).await, Disposition::Delete);
        assert_eq!(world.queues.take(), std::slice::from_ref(&body));
        assert!(is_returned(world.reply(Echo).handle(&record_delivery(&body), Deadline::NONE).await));
        assert!(world.queues.take().is_empty());
        world.queues.refuses = true;
        assert!(is_returned(world.handle(body.clone()).await));
        let available = World::new(all_well()).await;
        assert_eq!(
            available.reply(Echo).handle(&record_delivery(&body), Deadline::NONE).await,
            Disposition::Delete
        );
    }
}
