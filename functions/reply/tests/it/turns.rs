//! Turns, and retries after a reply that an earlier attempt may have sent.

use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use reply::batch::{self, Disposition, Handle as _};
use reply::delivery::{Delivery, Source};
use reply::history::{notice_id, row_id};
use reply::responder::{Echo, NoAnswer, Question, Responder, Response};
use reply::turns::Window;
use serde_json::{Value, json};
use shared::lambda::deadline::Deadline;
use shared::supabase::rows::Role;
use uuid::Uuid;
use wiremock::ResponseTemplate;

use crate::support::*;

/// Replies with a number that grows with each call.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Responder for Counting {
    async fn respond(&self, question: Question<'_>) -> Result<Response, NoAnswer> {
        let call = self.0.fetch_add(1, Ordering::Relaxed);
        Ok(format!("{} #{call}", question.said().collect::<Vec<_>>().join(" ")).into())
    }
}

/// A text received this many milliseconds ago.
fn received(id: &str, body: &str, ago: i64, receive_count: u32) -> Delivery {
    let received_at = Utc::now() - TimeDelta::milliseconds(ago);
    let message = json!({"from": "16505551234", "id": id, "timestamp": received_at.timestamp().to_string(),
        "type": "text", "text": {"body": body}});
    received_message(id, &message, received_at, receive_count)
}

fn received_message(id: &str, message: &Value, received_at: DateTime<Utc>, receive_count: u32) -> Delivery {
    let metadata = json!({"phone_number_id": "106540352242922"});
    let body =
        json!({"v1": {"message": {"received_at": received_at, "metadata": metadata, "message": message}}});
    let delivery = delivery(body.to_string(), receive_count);
    Delivery { message_id: format!("sqs.{id}"), ..delivery }
}

fn answer_id(key: &str) -> Uuid {
    row_id(&key.into(), &Role::Assistant)
}

/// The responses with a status of a reply to the turn that ends with this message.
fn with_status(last: &str, parts: u32) -> Answers {
    with_status_of(answer_id(last), parts)
}

fn with_status_of(answer_id: Uuid, parts: u32) -> Answers {
    let part = |part| json!({"answer_id": answer_id, "answer_part": part, "wamid": format!("wamid.s{part}")});
    let found: Vec<_> = (1..=parts).map(part).collect();
    Answers { sent_parts: ResponseTemplate::new(200).set_body_json(json!(found)), ..all_well() }
}

impl World {
    async fn sent(&self) -> Vec<Value> {
        self.sends().await.iter().map(json_of).collect()
    }

    fn turns<R>(
        &self,
        responder: R,
    ) -> reply::Reply<reply::database::Project, reply::graph::Graph, FakeQueues, R> {
        reply::Reply { window: "2000".parse().expect("a window"), ..self.reply(responder) }
    }
}

#[tokio::test]
async fn a_turn_is_answered_once_and_recorded_in_one_insert() {
    let world = World::new(all_well()).await;
    let mut batch = vec![received("wamid.1", "one", 5000, 3), received("wamid.2", "two", 4500, 3)];
    let timestamp = (Utc::now() - TimeDelta::seconds(4)).timestamp().to_string();
    let reaction = json!({"from": "16505551234", "id": "wamid.r", "timestamp": timestamp, "type": "reaction",
        "reaction": {"message_id": "wamid.1", "emoji": "👍"}});
    batch.push(received_message("wamid.r", &reaction, Utc::now() - TimeDelta::seconds(4), 2));
    batch.push(received("wamid.3", "three", 3000, 2));
    // A copy that Meta sent again.
    batch.push(received("wamid.2", "two", 2500, 1));
    let response = batch::process(batch, Deadline::NONE, &world.turns(Echo)).await;
    assert!(response.batch_item_failures.is_empty());
    let sent = world.sent().await;
    assert_eq!(sent.len(), 1);
    assert_eq!(
        (&sent[0]["text"]["body"], &sent[0]["context"]["message_id"]),
        (&json!("one\ntwo\nthree"), &json!("wamid.3"))
    );
    let callback = sent[0]["biz_opaque_callback_data"].as_str().expect("callback data");
    assert!(callback.starts_with(&format!("v1:{}:1:", answer_id("wamid.3"))), "{callback}");
    let [rows] = world.inserts().await.try_into().expect("one insert");
    let contents: Vec<_> =
        rows.as_array().expect("rows").iter().map(|row| (&row["role"], &row["content"])).collect();
    let (user, assistant) = (json!("user"), json!("assistant"));
    assert_eq!(
        contents,
        [
            (&user, &json!("one")),
            (&user, &json!("two")),
            (&user, &json!("👍")),
            (&user, &json!("three")),
            (&assistant, &json!("one\ntwo\nthree")),
        ]
    );
    assert_eq!(rows[4]["id"], json!(answer_id("wamid.3")));
    // Two lookups, the send, the insert.
    assert_eq!(world.writes("GET", "message_statuses").await.len(), 1);
}

#[tokio::test]
async fn a_young_message_is_held_with_its_group_and_without_any_call() {
    let world = World::new(all_well()).await;
    let batch = vec![received("wamid.1", "one", 1500, 1), received("wamid.2", "two", 100, 1)];
    let reply = world.turns(Echo);
    assert_eq!(reply.turn(&batch), 2);
    assert_eq!(
        reply.handle_turn(&batch, Deadline::NONE).await,
        Disposition::Return(std::time::Duration::from_secs(2))
    );
    let response = batch::process(batch, Deadline::NONE, &reply).await;
    let returned: Vec<_> =
        response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    assert_eq!(returned, ["sqs.wamid.1", "sqs.wamid.2"]);
    assert!(
        world.sends().await.is_empty()
            && world.supabase.received_requests().await.expect("recorded").is_empty()
    );
    assert!(world.queues.take().is_empty());
}

#[tokio::test]
async fn without_a_window_each_message_is_answered_and_copies_once() {
    let world = World::new(all_well()).await;
    let batch = ["wamid.1", "wamid.2", "wamid.1"].map(|id| received(id, id, 100, 1)).to_vec();
    let response = batch::process(batch, Deadline::NONE, &world.reply(Echo)).await;
    assert!(response.batch_item_failures.is_empty());
    let sent: Vec<_> = world.sent().await.iter().map(|sent| sent["text"]["body"].clone()).collect();
    assert_eq!(sent, ["wamid.1", "wamid.2"]);
    assert!(world.writes("GET", "message_statuses").await.is_empty(), "a first attempt looks for no status");
}

#[tokio::test]
async fn a_reply_with_a_status_is_recorded_and_not_sent_again() {
    let world = World::new(with_status("wamid.Q", 1)).await;
    let reply = world.reply(Echo);
    assert_eq!(reply.handle(&delivery(envelope(&text()), 2), Deadline::NONE).await, Disposition::Delete);
    assert!(world.sends().await.is_empty());
    let rows = world.inserts().await.remove(0);
    assert_eq!((&rows[1]["content"], &rows[1]["wamids"]), (&json!("Hello"), &json!(["wamid.s1"])));
}

#[tokio::test]
async fn messages_after_the_answered_ones_are_the_next_turn() {
    let world = World::new(with_status("wamid.2", 1)).await;
    let batch = ["wamid.1", "wamid.2", "wamid.3"].map(|id| received(id, id, 600_000, 2)).to_vec();
    let response = batch::process(batch, Deadline::NONE, &world.turns(Echo)).await;
    assert!(response.batch_item_failures.is_empty());
    let sent: Vec<_> = world.sent().await.iter().map(|sent| sent["text"]["body"].clone()).collect();
    assert_eq!(sent, ["wamid.3"]);
    let rows: Vec<_> = world.inserts().await.iter().map(|rows| rows.as_array().map(Vec::len)).collect();
    assert_eq!(rows, [Some(3), Some(2)]);
    let lookup = world.writes("GET", "message_statuses").await.remove(0);
    let filter = lookup.url.query().expect("a filter").to_owned();
    for key in ["wamid.1", "wamid.2", "wamid.3"] {
        assert!(filter.contains(&answer_id(key).to_string()), "{filter}");
    }
}

#[tokio::test]
async fn only_the_missing_part_of_a_long_reply_is_sent_again() {
    let world = World::new(with_status("wamid.long", 1)).await;
    let body = format!("{}{}", "a".repeat(4096), "b".repeat(4096));
    let batch = vec![received("wamid.long", &body, 600_000, 2)];
    assert!(batch::process(batch, Deadline::NONE, &world.reply(Echo)).await.batch_item_failures.is_empty());
    let sent = world.sent().await;
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["text"]["body"], "b".repeat(4096));
    assert!(sent[0]["biz_opaque_callback_data"].as_str().expect("data").contains(":2:"));
    let rows = world.inserts().await.remove(0);
    assert_eq!(rows[1]["wamids"], json!(["wamid.s1", "wamid.answer"]));
}

#[tokio::test]
async fn a_registration_text_with_a_status_is_not_sent_again() {
    let lookup = ResponseTemplate::new(200).set_body_json(json!([]));
    let of_text = with_status_of(notice_id(&"wamid.Q".into()), 1);
    let world = World::new(Answers { lookup, ..of_text }).await;
    let reply = world.reply(Echo);
    assert_eq!(reply.handle(&delivery(envelope(&text()), 2), Deadline::NONE).await, Disposition::Delete);
    assert!(world.sends().await.is_empty());
    assert_eq!(world.writes("POST", "rpc/registration_text_sent").await.len(), 1);
}

#[tokio::test]
async fn a_status_of_the_registration_text_is_not_one_of_the_reply() {
    let world = World::new(with_status_of(notice_id(&"wamid.Q".into()), 1)).await;
    let reply = world.reply(Echo);
    assert_eq!(reply.handle(&delivery(envelope(&text()), 2), Deadline::NONE).await, Disposition::Delete);
    assert_eq!(world.sends().await.len(), 1);
}

#[tokio::test]
async fn a_reply_that_could_not_be_recorded_is_recorded_and_not_sent_again() {
    let mut world = World::new(Answers { insert: ResponseTemplate::new(500), ..all_well() }).await;
    world.queues.refuses = true;
    let reply = world.reply(Echo);
    for receive_count in 1..=3 {
        let handled = reply.handle(&delivery(envelope(&text()), receive_count), Deadline::NONE).await;
        assert!(is_returned(handled));
        assert_eq!(world.sends().await.len(), 1);
    }
}

#[tokio::test]
async fn nothing_is_sent_while_neither_database_nor_record_queue_responds() {
    let unavailable = || ResponseTemplate::new(503);
    let mut world = World::new(Answers { lookup: unavailable(), insert: unavailable(), ..all_well() }).await;
    world.queues.refuses = true;
    assert!(is_returned(world.reply(Echo).handle(&delivery(envelope(&text()), 1), Deadline::NONE).await));
    assert!(world.sends().await.is_empty());
    // The record queue alone is enough.
    world.queues.refuses = false;
    let handled = world.reply(Echo).handle(&delivery(envelope(&text()), 2), Deadline::NONE).await;
    assert_eq!(handled, Disposition::Delete);
    assert_eq!((world.sends().await.len(), world.queues.take().len()), (1, 1));
}

#[tokio::test]
async fn a_late_copy_is_not_answered_again_while_the_rows_are_on_the_record_queue() {
    let unavailable = ResponseTemplate::new(503);
    let world =
        World::new(Answers { lookup: unavailable, recorded: ResponseTemplate::new(503), ..all_well() }).await;
    let reply = world.reply(Echo);
    for _ in 0..3 {
        let handled = reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await;
        assert_eq!(handled, Disposition::Delete);
        assert_eq!(world.sends().await.len(), 1);
    }
    assert_eq!(world.queues.take().len(), 1);
}

#[tokio::test]
async fn a_late_copy_is_not_answered_again_if_the_reply_has_a_status() {
    let world = World::new(with_status("wamid.Q", 1)).await;
    let mut message = text();
    // Five minutes before its receipt.
    message["timestamp"] = json!("1749416083");
    let reply = world.reply(Echo);
    assert_eq!(reply.handle(&delivery(envelope(&message), 1), Deadline::NONE).await, Disposition::Delete);
    assert!(world.sends().await.is_empty());
}

#[tokio::test]
async fn a_message_moved_between_queues_is_not_answered_again_if_its_reply_has_a_status() {
    // For SQS, each of them is a new message.
    let first = delivery(envelope(&text()), 1);
    let received_at = first.received_at().expect("a time");
    let quarantined = Delivery { source: Source::Records, ..first.clone() };
    let redriven = Delivery { sent_at: Some(received_at + TimeDelta::hours(3)), ..first };
    for moved in [quarantined, redriven] {
        let world = World::new(with_status("wamid.Q", 1)).await;
        let reply = world.reply(Counting::default());
        assert_eq!(reply.handle(&moved, Deadline::NONE).await, Disposition::Delete);
        assert!(world.sends().await.is_empty());
        assert_eq!(world.writes("GET", "stored_answers").await.len(), 1);
    }
}

#[tokio::test]
async fn an_impure_reply_is_stored_before_it_is_sent_and_repeated() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Counting::default());
    assert_eq!(reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await, Disposition::Delete);
    let stored = world.writes("POST", "stored_answers").await;
    let message_id = row_id(&"wamid.Q".into(), &Role::User);
    let expected = json!([{"message_id": message_id, "user_id": USER, "messages": 1, "text": "Hello #0", "details": null}]);
    assert_eq!(stored.iter().map(json_of).collect::<Vec<_>>(), [expected]);
    assert!(
        world.writes("GET", "stored_answers").await.is_empty(),
        "a first attempt looks for no stored reply"
    );

    let found = json!([{"message_id": message_id, "messages": 1, "text": "Hello #0"}]);
    let stored_answers = ResponseTemplate::new(200).set_body_json(found);
    let world = World::new(Answers { stored_answers, ..all_well() }).await;
    let reply = world.reply(Counting(AtomicUsize::new(7)));
    assert_eq!(reply.handle(&delivery(envelope(&text()), 2), Deadline::NONE).await, Disposition::Delete);
    assert_eq!(world.sent().await[0]["text"]["body"], "Hello #0");
    assert!(world.writes("POST", "stored_answers").await.is_empty());
}

#[tokio::test]
async fn a_stored_reply_to_more_messages_is_not_sent_to_the_last_one() {
    // The others were answered by themselves since, because the queue returned a part of the turn.
    let message_id = row_id(&"wamid.Q".into(), &Role::User);
    let found = json!([{"message_id": message_id, "messages": 2, "text": "Hello #0"}]);
    let stored_answers = ResponseTemplate::new(200).set_body_json(found);
    let world = World::new(Answers { stored_answers, ..all_well() }).await;
    let reply = world.reply(Counting(AtomicUsize::new(7)));
    assert_eq!(reply.handle(&delivery(envelope(&text()), 2), Deadline::NONE).await, Disposition::Delete);
    assert_eq!(world.sent().await[0]["text"]["body"], "Hello #7");
}

#[tokio::test]
async fn an_echo_in_parts_to_several_messages_is_stored() {
    let world = World::new(all_well()).await;
    let long = "a word ".repeat(700);
    let turn = |texts: [&str; 2]| {
        let receive = |(id, text): (&str, &str)| received(id, text, 3000, 1);
        ["wamid.1", "wamid.2"].into_iter().zip(texts).map(receive).collect::<Vec<_>>()
    };
    for (texts, stored) in [(["one", "two"], 0), (["one", &long], 1)] {
        let failed = batch::process(turn(texts), Deadline::NONE, &world.turns(Echo)).await;
        assert!(failed.batch_item_failures.is_empty());
        assert_eq!(world.writes("POST", "stored_answers").await.len(), stored);
    }
}

#[tokio::test]
async fn a_reply_is_sent_although_it_cannot_be_stored() {
    let store = ResponseTemplate::new(503);
    let world = World::new(Answers { store, ..all_well() }).await;
    let reply = world.reply(Counting::default());
    assert_eq!(reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await, Disposition::Delete);
    assert_eq!(world.sent().await[0]["text"]["body"], "Hello #0");
}

#[tokio::test]
async fn a_reply_that_nothing_recorded_is_not_sent_again_by_the_same_process() {
    let mut world = World::new(Answers { insert: ResponseTemplate::new(503), ..all_well() }).await;
    world.queues.refuses = true;
    let reply = world.reply(Counting::default());
    assert!(is_returned(reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await));
    let available = World::new(all_well()).await;
    let retry = available.reply(Counting(AtomicUsize::new(7)));
    let retry = reply::Reply { memory: reply.memory, ..retry };
    assert_eq!(retry.handle(&delivery(envelope(&text()), 2), Deadline::NONE).await, Disposition::Delete);
    assert_eq!((world.sends().await.len(), available.sends().await.len()), (1, 0));
    let rows = available.inserts().await.remove(0);
    assert_eq!((&rows[1]["content"], &rows[1]["wamids"]), (&json!("Hello #0"), &json!(["wamid.answer"])));
}

#[tokio::test]
async fn a_sent_reply_whose_words_are_unknown_is_not_replaced_by_others() {
    let world = World::new(with_status("wamid.Q", 1)).await;
    let reply = world.reply(Counting::default());
    assert_eq!(reply.handle(&delivery(envelope(&text()), 2), Deadline::NONE).await, Disposition::Delete);
    assert!(world.sends().await.is_empty());
    assert_eq!(world.inserts().await[0][1]["content"], "[reply not recorded]");
    assert_eq!(reply.responder.0.load(Ordering::Relaxed), 0, "the responder is not asked again");
}

#[tokio::test]
async fn the_rest_of_a_stored_reply_waits_until_the_reply_can_be_read() {
    let stored_answers = ResponseTemplate::new(503);
    let world = World::new(Answers { stored_answers, ..with_status("wamid.Q", 1) }).await;
    let reply = world.reply(Counting::default());
    assert!(is_returned(reply.handle(&delivery(envelope(&text()), 2), Deadline::NONE).await));
    assert!(world.sends().await.is_empty() && world.inserts().await.is_empty());
    assert_eq!(reply.responder.0.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_turn_of_an_unlinked_sender_gets_one_registration_text() {
    let lookup = ResponseTemplate::new(200).set_body_json(json!([]));
    let world = World::new(Answers { lookup, ..all_well() }).await;
    let batch = ["wamid.1", "wamid.2"].map(|id| received(id, id, 3000, 1)).to_vec();
    assert!(batch::process(batch, Deadline::NONE, &world.turns(Echo)).await.batch_item_failures.is_empty());
    assert_eq!(world.sent().await.len(), 1);
    assert_eq!(world.writes("POST", "rpc/claim_registration_text").await.len(), 1);
    assert!(world.inserts().await.is_empty());
}

#[tokio::test]
async fn an_unlinked_sender_who_was_answered_before_gets_no_registration_text() {
    // The database was unavailable at the first attempt, which answered as if the sender were linked.
    let lookup = ResponseTemplate::new(200).set_body_json(json!([]));
    let world = World::new(Answers { lookup, ..with_status("wamid.Q", 1) }).await;
    let handled = world.reply(Echo).handle(&delivery(envelope(&text()), 2), Deadline::NONE).await;
    assert_eq!(handled, Disposition::Delete);
    assert!(world.sends().await.is_empty());
}

#[tokio::test]
async fn a_turn_that_the_database_refuses_is_one_record_task() {
    let world = World::new(Answers { insert: ResponseTemplate::new(503), ..all_well() }).await;
    let batch = ["wamid.1", "wamid.2"].map(|id| received(id, id, 3000, 1)).to_vec();
    assert!(batch::process(batch, Deadline::NONE, &world.turns(Echo)).await.batch_item_failures.is_empty());
    let [task] = world.queues.take().try_into().expect("one task");
    let available = World::new(all_well()).await;
    let handled = available.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await;
    assert_eq!(handled, Disposition::Delete);
    let rows = available.inserts().await.remove(0);
    assert_eq!(rows.as_array().map(Vec::len), Some(3));
    assert_eq!(rows[2]["id"], json!(answer_id("wamid.2")));
    assert!(available.sends().await.is_empty());
}

#[tokio::test]
async fn a_turn_ends_where_the_owner_of_the_number_changes() {
    // The number is linked since an hour; the first message, which Meta sends again, is a day old.
    let since = Utc::now() - TimeDelta::hours(1);
    let mut linked = linked(json!(USER));
    linked["whatsapp_number_at"] = json!(since);
    linked["whatsapp_identity_at"] = json!(since);
    let lookup = ResponseTemplate::new(200).set_body_json(json!([linked]));
    let world = World::new(Answers { lookup, ..all_well() }).await;
    let now = Utc::now() - TimeDelta::seconds(5);
    let written = |id: &str, at: DateTime<Utc>| {
        let message = json!({"from": "16505551234", "id": id, "timestamp": at.timestamp().to_string(),
            "type": "text", "text": {"body": id}});
        received_message(id, &message, now, 1)
    };
    let batch = vec![written("wamid.old", now - TimeDelta::days(1)), written("wamid.new", now)];
    assert!(batch::process(batch, Deadline::NONE, &world.turns(Echo)).await.batch_item_failures.is_empty());
    let rows = world.inserts().await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].as_array().map(Vec::len), &rows[0][0]["content"]), (Some(2), &json!("wamid.new")));
}

#[tokio::test]
async fn a_reply_quotes_the_last_message_that_expects_one() {
    let world = World::new(all_well()).await;
    let mut batch = vec![received("wamid.1", "one", 5000, 3)];
    let timestamp = (Utc::now() - TimeDelta::seconds(4)).timestamp().to_string();
    let reaction = json!({"from": "16505551234", "id": "wamid.r", "timestamp": timestamp, "type": "reaction",
        "reaction": {"message_id": "wamid.0", "emoji": "👍"}});
    batch.push(received_message("wamid.r", &reaction, Utc::now() - TimeDelta::seconds(4), 2));
    assert!(batch::process(batch, Deadline::NONE, &world.turns(Echo)).await.batch_item_failures.is_empty());
    assert_eq!(world.sent().await[0]["context"]["message_id"], "wamid.1");
    assert_eq!(world.inserts().await[0].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_lost_response_is_retried_when_a_status_may_have_come() {
    let slow = ResponseTemplate::new(200).set_delay(std::time::Duration::from_secs(60));
    let world = World::new(Answers { send: slow, ..all_well() }).await;
    let deadline = Deadline::after(std::time::Duration::from_millis(3000));
    let outcome = world.reply(Echo).handle(&delivery(envelope(&text()), 1), deadline).await;
    assert!(matches!(outcome, Disposition::Return(delay) if delay.as_secs() >= 20), "{outcome:?}");
    assert_eq!(Window::OFF.holds(), 0);
}
