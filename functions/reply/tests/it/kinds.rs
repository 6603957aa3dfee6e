//! Messages of every type: answered, only recorded, or stored as an event.

use reply::Reply;
use reply::batch::Disposition;
use reply::read_receipts::ReadReceipts;
use reply::responder::Echo;
use serde_json::{Value, json};
use shared::lambda::deadline::Deadline;
use wiremock::matchers::{body_partial_json, method};
use wiremock::{Mock, ResponseTemplate};

use crate::support::*;

#[tokio::test]
async fn types_without_words_are_recorded_and_not_answered() {
    for (message, content) in [
        (json!({"from": "16505551234", "id": "w", "type": "image", "image": {"id": "1"}}), "[image]"),
        (json!({"from": "16505551234", "id": "w", "type": "hologram"}), "[hologram message]"),
        (
            json!({"from": "16505551234", "id": "w", "type": "reaction", "reaction": {"message_id": "o", "emoji": "👍"}}),
            "👍",
        ),
        (json!({"from": "16505551234", "type": "location", "location": {"address": "Here"}}), "Here"),
    ] {
        let world = World::new(all_well()).await;
        assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
        assert!(world.sends().await.is_empty());
        let rows = world.inserts().await.remove(0);
        assert_eq!(rows.as_array().map(Vec::len), Some(1));
        assert_eq!((&rows[0]["content"], &rows[0]["type"]), (&json!(content), &message["type"]));
        let wamids = message["id"].as_str().map_or(json!(null), |id| json!([id]));
        assert_eq!(
            (&rows[0]["wamids"], &rows[0]["refers_to"]),
            (&wamids, &message["reaction"]["message_id"])
        );
        assert_eq!(rows[0]["payload"]["raw"], message);
    }
}

#[tokio::test]
async fn choices_and_captions_are_answered() {
    let choice = json!({"type": "button_reply", "button_reply": {"id": "1", "title": "Hello"}});
    for message in [
        json!({"from": "16505551234", "id": "w", "type": "image", "image": {"id": "1", "caption": "Hello"}}),
        json!({"from": "16505551234", "id": "w", "type": "interactive", "interactive": choice}),
        json!({"from": "16505551234", "id": "w", "type": "button", "button": {"text": "Hello", "payload": "P"}}),
    ] {
        let world = World::new(all_well()).await;
        assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
        assert_eq!(json_of(&world.sends().await[0])["text"]["body"], "Hello", "{message}");
        assert_eq!(world.inserts().await[0][0]["type"], message["type"]);
    }
}

#[tokio::test]
async fn messages_outside_a_conversation_are_stored_as_events() {
    for message in [
        json!({"id": "w", "type": "text", "text": {"body": "who am I?"}}),
        json!({"from": "16505551234", "id": "w", "type": "request_welcome"}),
        json!({"from": "16505551234", "id": "w", "type": "system", "system": {"type": "customer_identity_changed"}}),
        json!({}),
        json!(null),
        json!([1, 2]),
    ] {
        let world = World::new(all_well()).await;
        assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
        assert!(world.sends().await.is_empty() && world.inserts().await.is_empty());
        let event = json_of(&world.writes("POST", "account_events").await[0]);
        assert_eq!(
            (&event[0]["payload"], &event[0]["phone_number_id"]),
            (&message, &json!("106540352242922"))
        );
        let kind = message["type"].as_str().unwrap_or("unknown");
        assert_eq!(event[0]["field"], format!("messages.{kind}"));
    }
}

#[tokio::test]
async fn the_registration_text_answers_only_conversation_messages() {
    let lookup = ResponseTemplate::new(200).set_body_json(json!([]));
    let world = World::new(Answers { lookup, ..all_well() }).await;
    for (message, sends) in [
        (json!({"from": "16505551234", "id": "w", "type": "reaction", "reaction": {"emoji": "👍"}}), 0),
        (
            json!({"from": "16505551234", "id": "w", "type": "text", "text": {"body": "Hi"}, "group_id": "G"}),
            0,
        ),
        (json!({"from": "16505551234", "id": "w", "type": "image", "image": {"id": "1"}}), 1),
        (json!({"from": "16505551234", "id": "w", "type": "hologram"}), 2),
        (json!({"from": "16505551234", "id": "w", "type": "unsupported", "unsupported": {"type": "pin"}}), 2),
        (
            json!({"from": "16505551234", "id": "w", "type": "unsupported", "unsupported": {"type": "poll"}}),
            3,
        ),
    ] {
        assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
        assert_eq!(world.sends().await.len(), sends, "{message}");
    }
    assert!(world.inserts().await.is_empty());
}

#[tokio::test]
async fn group_messages_are_recorded_and_answered_if_enabled() {
    let mut message = text();
    message["group_id"] = json!("Y2FwaV9ncm91cDox");
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
    assert!(world.sends().await.is_empty());
    let rows = world.inserts().await.remove(0);
    assert_eq!(
        (&rows[0]["content"], &rows[0]["payload"]["group_id"]),
        (&json!("Hello"), &json!("Y2FwaV9ncm91cDox"))
    );

    let world = World::new(all_well()).await;
    let reply = Reply { answers_groups: true, ..world.reply(Echo) };
    assert_eq!(reply.handle(&delivery(envelope(&message), 1), Deadline::NONE).await, Disposition::Delete);
    let send = json_of(&world.sends().await[0]);
    assert_eq!((&send["recipient_type"], &send["to"]), (&json!("group"), &json!("Y2FwaV9ncm91cDox")));
    assert_eq!(world.inserts().await[0].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_message_of_another_field_is_recorded_and_not_answered() {
    let received_at = "2025-06-08T20:59:43.500Z";
    let envelope =
        json!({"v1": {"message": {"received_at": received_at, "field": "standby", "message": text()}}});
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(envelope.to_string()).await, Disposition::Delete);
    assert!(world.sends().await.is_empty());
    assert_eq!(world.inserts().await[0][0]["payload"]["field"], "standby");
}

#[tokio::test]
async fn a_failed_read_receipt_does_not_prevent_the_answer() {
    for (read_receipts, typing) in [(ReadReceipts::Read, false), (ReadReceipts::Typing, true)] {
        for status in [200, 500] {
            let world = World::new(all_well()).await;
            let read = Mock::given(method("POST")).and(body_partial_json(json!({"status": "read"})));
            read.respond_with(ResponseTemplate::new(status)).with_priority(1).mount(&world.graph).await;
            let reply = Reply { read_receipts, ..world.reply(Echo) };
            assert_eq!(
                reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await,
                Disposition::Delete
            );
            let bodies: Vec<_> = world.sends().await.iter().map(json_of).collect();
            let [read, send] = bodies.as_slice() else { panic!("{bodies:?}") };
            assert_eq!(
                (&read["message_id"], read["typing_indicator"].is_object()),
                (&json!("wamid.Q"), typing)
            );
            assert_eq!(send["text"]["body"], "Hello", "the read receipt precedes the answer");
            assert_eq!(world.inserts().await[0].as_array().map(Vec::len), Some(2));
        }
    }
}

#[tokio::test]
async fn a_typing_indicator_is_shown_only_if_an_answer_may_follow() {
    let mut group = text();
    group["group_id"] = json!("Y2FwaV9ncm91cDox");
    let reaction = json!({"from": "16505551234", "id": "w", "type": "reaction", "reaction": {"message_id": "o", "emoji": "👍"}});
    for message in [group, reaction] {
        let world = World::new(all_well()).await;
        let reply = Reply { read_receipts: ReadReceipts::Typing, ..world.reply(Echo) };
        assert_eq!(reply.handle(&delivery(envelope(&message), 1), Deadline::NONE).await, Disposition::Delete);
        let bodies: Vec<_> = world.sends().await.iter().map(json_of).collect();
        let [read] = bodies.as_slice() else { panic!("{bodies:?}") };
        assert_eq!((&read["status"], read.get("typing_indicator")), (&json!("read"), None));
    }
}

#[test]
fn read_receipts_are_off_read_or_typing() {
    let parsed = ["off", "read", "typing", "on", "Off", ""].map(|text| text.parse::<ReadReceipts>().ok());
    let expected = [ReadReceipts::Off, ReadReceipts::Read, ReadReceipts::Typing].map(Some);
    assert_eq!(parsed[..3], expected);
    assert_eq!(parsed[3..], [None, None, None]);
    let silent =
        [ReadReceipts::Off, ReadReceipts::Read, ReadReceipts::Typing].map(ReadReceipts::without_typing);
    assert_eq!(silent, [ReadReceipts::Off, ReadReceipts::Read, ReadReceipts::Read]);
}

#[tokio::test]
async fn the_payload_has_the_data_beyond_the_text() {
    let with_context = |context: Value| {
        let mut message = text();
        message["context"] = context;
        message
    };
    let edit = json!({"original_message_id": "o", "message": {"type": "image", "image": {"id": "1"}}});
    for (message, pointer, expected) in [
        (with_context(json!({"forwarded": true})), "/forwarded", json!(true)),
        (with_context(json!({"frequently_forwarded": true})), "/forwarded", json!(true)),
        (with_context(json!({"id": "o"})), "/quoted/id", json!("o")),
        (
            json!({"from": "16505551234", "id": "w", "type": "voice", "voice": {"id": "1"}}),
            "/media/0/voice",
            json!(true),
        ),
        (json!({"from": "16505551234", "id": "w", "type": "edit", "edit": edit}), "/media/0/id", json!("1")),
    ] {
        let world = World::new(all_well()).await;
        assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
        let rows = world.inserts().await.remove(0);
        assert_eq!(rows[0]["payload"].pointer(pointer), Some(&expected), "{message}");
    }
}

#[tokio::test]
async fn messages_of_one_second_keep_their_order_of_arrival() {
    let mut times: Vec<chrono::DateTime<chrono::Utc>> = Vec::new();
    // The eleventh message of one request, and the first of another request a millisecond later.
    for received_at in ["2025-06-08T20:59:43.500010Z", "2025-06-08T20:59:43.501000Z"] {
        let world = World::new(all_well()).await;
        let message = json!({"v1": {"message": {"received_at": received_at, "message": text()}}});
        assert_eq!(world.handle(message.to_string()).await, Disposition::Delete);
        let time = world.inserts().await[0][0]["created_at"].as_str().expect("a time").parse();
        times.push(time.expect("a time"));
    }
    assert!(times[0] < times[1] && times[1].timestamp() == 1_749_416_383, "{times:?}");
}
