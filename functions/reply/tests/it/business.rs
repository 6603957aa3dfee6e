//! Business echoes, messages that the business sends from its app: one row in the recipient's history, and no answer.

use reply::batch::Disposition;
use reply::delivery::Source;
use reply::responder::Echo;
use serde_json::{Value, json};
use shared::lambda::deadline::Deadline;
use wiremock::ResponseTemplate;

use crate::support::*;

/// A business echo, modelled on a public bug report.
fn business_echo() -> Value {
    json!({"from": "15550783881", "to": "16505551234", "id": "wamid.E", "timestamp": "1749416383",
        "type": "text", "text": {"body": "from the shop phone"}})
}

fn echo(message: &Value, field: &str) -> String {
    let metadata = json!({"phone_number_id": "106540352242922"});
    let received_at = "2025-06-08T20:59:43.500Z";
    json!({"v1": {"echo": {"received_at": received_at, "field": field, "metadata": metadata, "message": message}}})
        .to_string()
}

#[tokio::test]
async fn a_business_echo_is_an_assistant_row_and_not_answered() {
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(echo(&business_echo(), "smb_message_echoes")).await, Disposition::Delete);
    let rows = world.inserts().await.remove(0);
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    let row = &rows[0];
    assert_eq!((&row["role"], &row["user_id"]), (&json!("assistant"), &json!(USER)));
    assert_eq!((&row["content"], &row["type"]), (&json!("from the shop phone"), &json!("text")));
    assert_eq!((&row["wamids"], &row["phone_number_id"]), (&json!(["wamid.E"]), &json!("106540352242922")));
    assert_eq!(row["payload"], json!({"field": "smb_message_echoes", "raw": business_echo()}));
    assert!(world.sends().await.is_empty() && world.writes("PATCH", "user_preferences").await.is_empty());
    let lookup = world.writes("GET", "user_preferences").await.remove(0);
    assert!(
        lookup.url.query().is_some_and(|query| query.contains("16505551234")),
        "the lookup is by the recipient"
    );
    // A redelivery has the same row.
    assert_eq!(world.handle(echo(&business_echo(), "smb_message_echoes")).await, Disposition::Delete);
    assert_eq!(world.inserts().await[1][0]["id"], row["id"]);
    let insert = world.writes("POST", "messages").await.remove(0);
    assert_eq!(insert.headers["prefer"], "resolution=ignore-duplicates,return=minimal");
}

#[tokio::test]
async fn an_echo_row_names_its_webhook_field_for_every_type() {
    let edit =
        json!({"original_message_id": "wamid.E", "message": {"type": "text", "text": {"body": "at ten"}}});
    for (kind, body, field, content, refers_to, mark) in [
        ("image", json!({"id": "1"}), "message_echoes", "[image]", Value::Null, "message_echoes"),
        ("edit", edit, "standby", "at ten", json!("wamid.E"), "standby"),
        ("hologram", json!({}), "messages", "[hologram message]", Value::Null, "message_echoes"),
    ] {
        let world = World::new(all_well()).await;
        let message = json!({"to": "16505551234", "id": "w", "type": kind, kind: body});
        assert_eq!(world.handle(echo(&message, field)).await, Disposition::Delete);
        let row = world.inserts().await.remove(0)[0].clone();
        assert_eq!((&row["role"], &row["content"]), (&json!("assistant"), &json!(content)), "{kind}");
        assert_eq!((&row["refers_to"], &row["payload"]["field"]), (&refers_to, &json!(mark)), "{kind}");
        assert!(world.sends().await.is_empty());
    }
}

#[tokio::test]
async fn an_echo_to_an_unlinked_recipient_writes_no_row() {
    let lookup = ResponseTemplate::new(200).set_body_json(json!([]));
    let world = World::new(Answers { lookup, ..all_well() }).await;
    assert_eq!(world.handle(echo(&business_echo(), "smb_message_echoes")).await, Disposition::Delete);
    assert!(world.sends().await.is_empty() && world.inserts().await.is_empty());
    // Without a recipient, or outside a conversation, it is an event, and changes no identity.
    let system = json!({"to": "16505551234", "id": "w", "type": "system",
        "system": {"type": "user_changed_number", "wa_id": "12195555358"}});
    for (message, name) in
        [(json!({"id": "w", "type": "text"}), "message_echoes.text"), (system, "message_echoes.system")]
    {
        let world = World::new(all_well()).await;
        assert_eq!(world.handle(echo(&message, "smb_message_echoes")).await, Disposition::Delete);
        let event = json_of(&world.writes("POST", "account_events").await[0])[0].clone();
        assert_eq!((&event["field"], &event["payload"]), (&json!(name), &message));
        assert!(
            world.inserts().await.is_empty() && world.writes("PATCH", "user_preferences").await.is_empty()
        );
    }
}

#[tokio::test]
async fn an_echo_that_the_database_refuses_is_deferred() {
    let body = echo(&business_echo(), "smb_message_echoes");
    let unavailable = || ResponseTemplate::new(503);
    for answers in
        [Answers { lookup: unavailable(), ..all_well() }, Answers { insert: unavailable(), ..all_well() }]
    {
        let mut world = World::new(answers).await;
        assert_eq!(world.handle(body.clone()).await, Disposition::Delete);
        assert_eq!(world.queues.take(), std::slice::from_ref(&body));
        let deferred = || {
            let mut delivery = delivery(body.clone(), 1);
            delivery.source = Source::Records;
            delivery
        };
        assert!(is_returned(world.reply(Echo).handle(&deferred(), Deadline::NONE).await));
        world.queues.refuses = true;
        assert!(is_returned(world.handle(body.clone()).await));
        let available = World::new(all_well()).await;
        assert_eq!(available.reply(Echo).handle(&deferred(), Deadline::NONE).await, Disposition::Delete);
        assert_eq!(available.inserts().await[0][0]["role"], "assistant");
    }
}
