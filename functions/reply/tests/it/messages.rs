//! Outcomes of a message, with fakes of Meta and Supabase over real HTTP.

use std::time::Duration;

use reply::batch::{Disposition, Handle as _};
use reply::database::Project;
use reply::delivery::{Delivery, Source};
use reply::history::row_id;
use reply::responder::{Echo, NoAnswer, Question, Responder, Response};
use serde_json::{Value, json};
use shared::lambda::deadline::Deadline;
use shared::meta::envelope::{Envelope, V1};
use shared::meta::sender::Sender;
use shared::supabase::Supabase;
use shared::supabase::rows::Role;
use uuid::Uuid;
use wiremock::matchers::method;
use wiremock::{Mock, ResponseTemplate};

use crate::support::*;

#[tokio::test]
async fn a_linked_user_gets_a_reply_and_both_rows_are_one_insert() {
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);

    let sends = world.sends().await;
    let [send] = sends.as_slice() else { panic!("{} sends", sends.len()) };
    assert_eq!(send.url.path(), "/v25.0/106540352242922/messages");
    let body = json_of(send);
    assert_eq!((&body["text"]["body"], &body["to"]), (&json!("Hello"), &json!("+16505551234")));
    assert_eq!(body["context"]["message_id"], "wamid.Q");

    let inserts = world.writes("POST", "messages").await;
    let [insert] = inserts.as_slice() else { panic!("{} inserts", inserts.len()) };
    assert_eq!(insert.url.query(), Some("on_conflict=id"));
    assert_eq!(insert.headers["prefer"], "resolution=ignore-duplicates,return=minimal");
    let rows = json_of(insert);
    let rows = rows.as_array().expect("an array");
    assert_eq!(rows.len(), 2);
    for (row, role) in rows.iter().zip([Role::User, Role::Assistant]) {
        assert_eq!(row["id"], row_id(&"wamid.Q".into(), &role).to_string());
        assert_eq!(row["user_id"], USER);
        assert_eq!(row["role"], role.as_str());
        assert_eq!((&row["channel"], &row["content"]), (&json!("whatsapp"), &json!("Hello")));
        assert_eq!((&row["type"], &row["phone_number_id"]), (&json!("text"), &json!("106540352242922")));
    }
    assert_eq!((&rows[0]["wamids"], &rows[1]["wamids"]), (&json!(["wamid.Q"]), &json!(["wamid.answer"])));
    assert_eq!((&rows[0]["payload"]["raw"], &rows[1]["payload"]), (&text(), &json!(null)));
    let names = |row: &Value| row.as_object().expect("a row").keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&rows[0]), names(&rows[1]), "one insert requires the same fields in all rows");
    let time =
        |row: &Value| row["created_at"].as_str().expect("a time").parse::<chrono::DateTime<chrono::Utc>>();
    let (asked, answered) = (time(&rows[0]).expect("a time"), time(&rows[1]).expect("a time"));
    assert_eq!(asked.timestamp(), 1_749_416_383);
    assert!(asked < answered);
}

#[tokio::test]
async fn a_database_error_does_not_prevent_the_reply() {
    for lookup in [ResponseTemplate::new(503), ResponseTemplate::new(200).set_body_string("<html>")] {
        let world = World::new(Answers { lookup, insert: ResponseTemplate::new(503), ..all_well() }).await;
        assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
        assert_eq!(json_of(&world.sends().await[0])["text"]["body"], "Hello");
    }
    let world = World::new(Answers { insert: ResponseTemplate::new(500), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
    assert_eq!(world.sends().await.len(), 1);
}

#[tokio::test]
async fn a_database_timeout_does_not_prevent_the_reply() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address")).parse().expect("a URL");
    let world = World::new(all_well()).await;
    let mut reply = world.reply(Echo);
    let http = shared::http::client().expect("a client");
    let supabase = Supabase::new(&url, "sb_secret_k".parse().expect("a key"), http);
    reply.database = Project::new(supabase);
    assert_eq!(reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await, Disposition::Delete);
    assert_eq!(json_of(&world.sends().await[0])["text"]["body"], "Hello");
}

#[tokio::test]
async fn a_transient_error_returns_the_message_and_writes_nothing() {
    for send in [
        ResponseTemplate::new(500),
        graph_error(400, 131_056),
        graph_error(401, 190),
        graph_error(400, 131_048),
    ] {
        let world = World::new(Answers { send, ..all_well() }).await;
        assert!(is_returned(world.handle(envelope(&text())).await));
        assert!(world.inserts().await.is_empty());
    }
}

#[tokio::test]
async fn a_permanent_error_deletes_the_message() {
    let world = World::new(Answers { send: graph_error(400, 131_047), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
    assert_eq!(world.sends().await.len(), 1);
}

#[tokio::test]
async fn a_task_too_large_for_the_queue_loses_its_raw_message() {
    let mut message = text();
    message["padding"] = json!("\"".repeat(400_000));
    let world = World::new(Answers { insert: ResponseTemplate::new(503), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
    let task = world.queues.take().remove(0);
    assert!(task.len() < 10_000);
    let available = World::new(all_well()).await;
    assert_eq!(
        available.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await,
        Disposition::Delete
    );
    let rows = available.inserts().await.remove(0);
    assert_eq!((&rows[0]["content"], &rows[1]["content"]), (&json!("Hello"), &json!("Hello")));
    assert!(rows[0]["payload"]["truncation"]["bytes"].as_u64().is_some_and(|bytes| bytes > 1_000_000));
}

#[tokio::test]
async fn an_invalid_envelope_is_returned_to_the_queue() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Echo);
    for body in ["", "hello", "{}", r#"{"v2":{"message":{}}}"#] {
        assert!(is_returned(reply.handle(&delivery(body.to_owned(), 1), Deadline::NONE).await));
    }
}

#[tokio::test]
async fn a_message_without_a_number_is_answered_by_the_configured() {
    let world = World::new(all_well()).await;
    let envelope = json!({"v1": {"message": {"received_at": "2025-06-08T20:59:43Z", "message": text()}}});
    assert_eq!(world.handle(envelope.to_string()).await, Disposition::Delete);
    assert_eq!(world.sends().await[0].url.path(), "/v25.0/999/messages");
}

/// A responder with a fixed result, which also checks the question.
struct Fixed(Result<Response, NoAnswer>);

impl Responder for Fixed {
    async fn respond(&self, question: Question<'_>) -> Result<Response, NoAnswer> {
        assert_eq!(question.said().collect::<Vec<_>>(), ["Hello"]);
        assert_eq!(question.user_id, Some(USER.parse::<Uuid>().expect("a user")));
        self.0.clone()
    }
}

#[tokio::test]
async fn a_responder_chooses_the_answer() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Fixed(Ok("Hi!".to_owned().into())));
    assert_eq!(reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await, Disposition::Delete);
    assert_eq!(json_of(&world.sends().await[0])["text"]["body"], "Hi!");
    let rows = world.inserts().await.remove(0);
    assert_eq!((&rows[0]["content"], &rows[1]["content"]), (&json!("Hello"), &json!("Hi!")));
}

#[tokio::test]
async fn without_an_answer_only_the_question_is_recorded() {
    for nothing in [Response::Nothing, String::new().into(), " \n".to_owned().into()] {
        let world = World::new(all_well()).await;
        assert_eq!(
            world.reply(Fixed(Ok(nothing))).handle(&delivery(envelope(&text()), 1), Deadline::NONE).await,
            Disposition::Delete
        );
        assert!(world.sends().await.is_empty());
        let rows = world.inserts().await.remove(0);
        assert_eq!(rows.as_array().map(Vec::len), Some(1));
        assert_eq!(rows[0]["role"], "user");
    }
}

#[tokio::test]
async fn a_message_is_retried_after_its_responder_fails() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Fixed(Err("the model is overloaded".into())));
    assert!(is_returned(reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await));
    assert!(world.sends().await.is_empty());
}

#[tokio::test]
async fn a_message_with_written_rows_is_not_answered_again() {
    let recorded =
        ResponseTemplate::new(200).set_body_json(json!([{"id": row_id(&"wamid.Q".into(), &Role::User)}]));
    let world = World::new(Answers { recorded, ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
    assert!(world.sends().await.is_empty() && world.inserts().await.is_empty());
    let requests = world.supabase.received_requests().await.expect("recorded");
    let check = requests.iter().find(|request| request.url.path() == "/rest/v1/messages").expect("a check");
    let filter = check.url.query_pairs().find(|(name, _)| name == "id").expect("a filter").1;
    assert_eq!(filter, format!("eq.{}", row_id(&"wamid.Q".into(), &Role::User)));
}

#[tokio::test]
async fn rows_that_the_database_refuses_are_written_by_a_task() {
    let world = World::new(Answers { insert: ResponseTemplate::new(503), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
    let tasks = world.queues.take();
    let [task] = tasks.as_slice() else { panic!("{} tasks", tasks.len()) };
    let Ok(Envelope::V1(V1::Record(read))) = Envelope::from_body(task) else { panic!("{task}") };
    assert_eq!(
        (read.user_id, Some(&read.sender)),
        (USER.parse().ok(), Sender::parse("16505551234").as_ref())
    );
    // While the database is unavailable, the task is redelivered, and puts no second task on the queue.
    assert!(is_returned(world.reply(Echo).handle(&record_delivery(task), Deadline::NONE).await));
    assert!(world.queues.take().is_empty());

    let available = World::new(all_well()).await;
    assert_eq!(
        available.reply(Echo).handle(&record_delivery(task), Deadline::NONE).await,
        Disposition::Delete
    );
    assert!(available.sends().await.is_empty(), "a task sends no answer");
    assert_eq!(available.inserts().await, world.inserts().await[..1], "the rows equal the refused ones");
}

#[tokio::test]
async fn a_task_repeats_a_failed_user_lookup() {
    let world = World::new(Answers { lookup: ResponseTemplate::new(503), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
    assert_eq!(world.sends().await.len(), 1);
    let task = world.queues.take().remove(0);
    assert!(is_returned(world.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await));

    let available = World::new(all_well()).await;
    assert_eq!(
        available.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await,
        Disposition::Delete
    );
    assert_eq!(available.inserts().await[0][1]["user_id"], USER);

    let lookup = ResponseTemplate::new(200).set_body_json(json!([]));
    let unlinked = World::new(Answers { lookup, ..all_well() }).await;
    assert_eq!(
        unlinked.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await,
        Disposition::Delete
    );
    assert!(unlinked.inserts().await.is_empty());
}

#[tokio::test]
async fn rows_refused_by_database_and_queue_return_the_message() {
    let mut world = World::new(Answers { insert: ResponseTemplate::new(503), ..all_well() }).await;
    world.queues.refuses = true;
    assert!(is_returned(world.handle(envelope(&text())).await));
    assert_eq!(world.sends().await.len(), 1);
}

#[tokio::test]
async fn a_permanent_error_is_recorded_with_the_question() {
    let world = World::new(Answers { send: graph_error(400, 131_047), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
    let rows = world.inserts().await.remove(0);
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    assert_eq!((&rows[0]["role"], &rows[0]["content"]), (&json!("user"), &json!("Hello")));
    assert_eq!(rows[0]["unanswered_because"], "the Graph API returned 400, code 131047");
}

#[tokio::test]
async fn an_account_error_waits_longer_than_a_transient_one() {
    let delay = async |code: i64| {
        let world = World::new(Answers { send: graph_error(400, code), ..all_well() }).await;
        match world.handle(envelope(&text())).await {
            Disposition::Return(delay) => delay,
            other => panic!("{code} is not permanent: {other:?}"),
        }
    };
    assert!(delay(190).await >= Duration::from_secs(450));
    assert!(delay(131_056).await <= Duration::from_secs(4));
}

#[tokio::test]
async fn an_unreadable_message_is_quarantined_after_three_receives() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Echo);
    let body = r#"{"v2":{}}"#.to_owned();
    for receive_count in [1, 2] {
        assert!(is_returned(reply.handle(&delivery(body.clone(), receive_count), Deadline::NONE).await));
        assert!(is_returned(reply.panicked(&[delivery(body.clone(), receive_count)], Deadline::NONE).await));
    }
    assert_eq!(reply.handle(&delivery(body.clone(), 3), Deadline::NONE).await, Disposition::Delete);
    assert_eq!(reply.panicked(&[delivery(body.clone(), 3)], Deadline::NONE).await, Disposition::Delete);
    assert_eq!(world.queues.take(), [body.clone(), body.clone()]);
    // From the record queue it is only dead-lettered.
    assert!(is_returned(
        reply.handle(&Delivery { receive_count: 99, ..record_delivery(&body) }, Deadline::NONE).await
    ));
    assert!(world.queues.take().is_empty());
}

#[tokio::test]
async fn a_message_is_dead_lettered_with_its_cause_after_retries() {
    let send = graph_error(401, 190);
    let mut world = World::new(Answers { send, insert: ResponseTemplate::new(503), ..all_well() }).await;
    let tries = Source::Inbound.max_receives();
    assert!(is_returned(
        world.reply(Echo).handle(&delivery(envelope(&text()), tries - 1), Deadline::NONE).await
    ));
    assert_eq!(
        world.reply(Echo).handle(&delivery(envelope(&text()), tries), Deadline::NONE).await,
        Disposition::Delete
    );
    let rows = json!({"v1": {"record": {"user_id": USER, "sender": "16505551234", "wamid": "wamid.Q",
        "question": {"content": "Hello", "at": "2025-06-08T20:59:43Z"}}}});
    let rows = |receive_count| Delivery { receive_count, ..record_delivery(&rows.to_string()) };
    let tries = Source::Records.max_receives();
    assert!(is_returned(world.reply(Echo).handle(&rows(tries - 1), Deadline::NONE).await));
    assert_eq!(world.reply(Echo).handle(&rows(tries), Deadline::NONE).await, Disposition::Delete);
    let causes = [
        (Source::Inbound, "the reply was not sent: the Graph API returned 401, code 190".to_owned()),
        (Source::Records, "rows not written: Supabase returned 503 (no code)".to_owned()),
    ];
    assert_eq!(*world.queues.dead_letters.lock().expect("a lock"), causes);

    // A message that the dead-letter queue refuses is retried.
    world.queues.refuses = true;
    assert!(is_returned(world.reply(Echo).handle(&rows(tries), Deadline::NONE).await));
    // A message that was received as often only because it was behind another one is answered.
    let well = World::new(all_well()).await;
    assert_eq!(
        well.reply(Echo).handle(&delivery(envelope(&text()), 60), Deadline::NONE).await,
        Disposition::Delete
    );
    assert_eq!(well.sends().await.len(), 1);
    assert!(well.queues.dead_letters.lock().expect("a lock").is_empty());
}

#[tokio::test]
async fn a_long_answer_is_sent_in_parts_and_recorded_whole() {
    let world = World::new(all_well()).await;
    let long = "word ".repeat(2000).trim_end().to_owned();
    let reply = world.reply(Fixed(Ok(long.clone().into())));
    assert_eq!(reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await, Disposition::Delete);
    let bodies: Vec<_> =
        world.sends().await.iter().map(|send| json_of(send)["text"]["body"].clone()).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| body.as_str().is_some_and(|body| (1..=4096).contains(&body.len()))));
    assert_eq!(world.inserts().await[0][1]["content"], long);
}

/// Handles a message with an answer of three parts. Meta accepts `accepted` of them, then responds with `send`.
async fn long_answer(accepted: u64, send: ResponseTemplate) -> (World, String, Disposition) {
    let world = World::new(Answers { send, ..all_well() }).await;
    let first = Mock::given(method("POST")).respond_with(all_well().send).up_to_n_times(accepted);
    first.with_priority(1).mount(&world.graph).await;
    let long = "word ".repeat(2000).trim_end().to_owned();
    let reply = world.reply(Fixed(Ok(long.clone().into())));
    let outcome = reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await;
    (world, long, outcome)
}

/// The texts in the requests to Meta.
async fn bodies(world: &World) -> Vec<String> {
    let sends = world.sends().await;
    sends.iter().map(|send| json_of(send)["text"]["body"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn the_rest_of_a_long_answer_is_sent_later_and_no_part_twice() {
    let (world, long, outcome) = long_answer(1, graph_error(400, 131_056)).await;
    assert_eq!(outcome, Disposition::Delete);
    assert_eq!(world.sends().await.len(), 2, "the first part, and the refused one");
    assert!(world.inserts().await.is_empty(), "rows would claim that all parts were sent");
    let task = world.queues.take().remove(0);
    // Meta still refuses: the task is redelivered unchanged.
    assert!(is_returned(world.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await));
    assert!(world.queues.take().is_empty());

    // Meta accepts one more part.
    let available = World::new(Answers { send: graph_error(500, 131_000), ..all_well() }).await;
    let one = Mock::given(method("POST")).respond_with(all_well().send).up_to_n_times(1).with_priority(1);
    one.mount(&available.graph).await;
    assert_eq!(
        available.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await,
        Disposition::Delete
    );
    let shorter = available.queues.take().remove(0);
    assert!(shorter.len() < task.len() && available.inserts().await.is_empty());

    // Meta accepts the last part; the database is unavailable.
    let last = World::new(Answers { insert: ResponseTemplate::new(503), ..all_well() }).await;
    assert_eq!(
        last.reply(Echo).handle(&record_delivery(&shorter), Deadline::NONE).await,
        Disposition::Delete
    );
    let rows = last.queues.take().remove(0);
    assert_eq!(last.sends().await.len(), 1);
    assert_eq!(json_of(&last.sends().await[0])["context"]["message_id"], "wamid.Q");
    let done = World::new(all_well()).await;
    assert_eq!(done.reply(Echo).handle(&record_delivery(&rows), Deadline::NONE).await, Disposition::Delete);
    assert!(done.sends().await.is_empty());
    assert_eq!(done.inserts().await[0][1]["content"], long);
    assert_eq!(done.inserts().await[0][1]["wamids"], json!(["wamid.answer", "wamid.answer", "wamid.answer"]));

    // Each part was accepted once; refused sends are not counted.
    let parts = [&world, &available, &last].map(|world| async { bodies(world).await });
    let [first, second, third] = futures::future::join_all(parts).await.try_into().expect("three");
    assert_eq!([&first[0], &second[0], &third[0]].map(String::as_str).join(" "), long);
}

#[tokio::test]
async fn a_permanently_refused_rest_is_recorded_as_far_as_sent() {
    let (world, long, _) = long_answer(1, graph_error(400, 131_056)).await;
    let task = world.queues.take().remove(0);
    // Meta accepts one more part, and refuses the next one permanently.
    let refusing = World::new(Answers { send: graph_error(400, 131_047), ..all_well() }).await;
    let one = Mock::given(method("POST")).respond_with(all_well().send).up_to_n_times(1).with_priority(1);
    one.mount(&refusing.graph).await;
    assert_eq!(
        refusing.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await,
        Disposition::Delete
    );
    assert!(refusing.queues.take().is_empty());
    let rows = refusing.inserts().await.remove(0);
    let said = rows[1]["content"].as_str().expect("an answer");
    assert!(long.starts_with(said) && (8000..long.len()).contains(&said.len()), "{}", said.len());
}

#[tokio::test]
async fn a_task_that_fits_without_its_raw_message_keeps_its_texts() {
    let said = "long ".repeat(20_000);
    let order = json!({"text": said, "product_items": []});
    let padding = "\"".repeat(400_000);
    let message =
        json!({"from": "16505551234", "id": "wamid.Q", "type": "order", "order": order, "padding": padding});
    let world = World::new(Answers { insert: ResponseTemplate::new(503), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&message)).await, Disposition::Delete);
    let task = world.queues.take().remove(0);
    let available = World::new(all_well()).await;
    assert_eq!(
        available.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await,
        Disposition::Delete
    );
    let content = available.inserts().await[0][0]["content"].clone();
    assert!(content.as_str().is_some_and(|content| content.contains(said.trim())), "{content}");
}

#[tokio::test]
async fn a_task_with_written_rows_sends_nothing() {
    let (world, _, _) = long_answer(1, graph_error(400, 131_056)).await;
    let task = world.queues.take().remove(0);
    let recorded =
        ResponseTemplate::new(200).set_body_json(json!([{"id": row_id(&"wamid.Q".into(), &Role::User)}]));
    let done = World::new(Answers { recorded, ..all_well() }).await;
    assert_eq!(done.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await, Disposition::Delete);
    assert!(done.sends().await.is_empty() && done.inserts().await.is_empty());
}

#[tokio::test]
async fn a_permanently_refused_part_ends_and_records_the_answer() {
    let (world, long, outcome) = long_answer(2, graph_error(400, 131_047)).await;
    assert_eq!(outcome, Disposition::Delete);
    assert!(world.queues.take().is_empty());
    let rows = world.inserts().await.remove(0);
    let said = rows[1]["content"].as_str().expect("an answer");
    assert!(long.starts_with(said) && (8000..long.len()).contains(&said.len()), "{}", said.len());
}

#[tokio::test]
async fn a_rest_that_the_queue_refuses_returns_the_message() {
    let mut world = World::new(Answers { send: graph_error(429, 130_429), ..all_well() }).await;
    let one = Mock::given(method("POST")).respond_with(all_well().send).up_to_n_times(1).with_priority(1);
    one.mount(&world.graph).await;
    world.queues.refuses = true;
    let reply = world.reply(Fixed(Ok("word ".repeat(2000).into())));
    assert!(is_returned(reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await));
}
