//! Consequences of errors of the Graph API and the database for a message, and the time limits of an invocation, with
//! fakes of Meta and Supabase over real HTTP.

use std::time::Duration;

use reply::Reply;
use reply::batch::{self, Disposition};
use reply::budget::HANDOVER;
use reply::database::{Database, Project};
use reply::delivery::{Delivery, Source, Work};
use reply::graph::{Graph, GraphSettings, SEND_TIMEOUT};
use reply::memory::{Memory, TURNS};
use reply::queues::{QueueClient, QueueError};
use reply::responder::Echo;
use reply::turns::Window;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::lambda::deadline::Deadline;
use shared::supabase::Supabase;
use shared_testing::stale::{Breaks, Peer};
use tokio::time::Instant;
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, ResponseTemplate};

use crate::support::*;

/// Meta's response for a number that the token may not access, modelled on a public bug report.
fn inaccessible_number() -> ResponseTemplate {
    ResponseTemplate::new(400).set_body_json(json!({"error": {
        "message": "Unsupported post request. Object with ID '106540352242922' does not exist, cannot be loaded due to \
            missing permissions, or does not support this operation",
        "type": "GraphMethodException", "code": 100, "error_subcode": 33, "fbtrace_id": "AbC"
    }}))
}

fn to_number(id: &str) -> String {
    let metadata = json!({"phone_number_id": id});
    json!({"v1": {"message": {"received_at": "2026-11-27T10:00:00Z", "metadata": metadata, "message": text()}}})
        .to_string()
}

/// The number of the button *Test* in Meta's console.
const FOREIGN: &str = "123456123";

async fn refusing(send: ResponseTemplate) -> World {
    World::new(Answers { send, ..all_well() }).await
}

#[tokio::test]
async fn an_inaccessible_configured_number_retries_its_messages() {
    let world = refusing(inaccessible_number()).await;
    let outcome = world.handle(to_number("999")).await;
    assert!(
        matches!(outcome, Disposition::Return(delay) if delay >= Duration::from_secs(450)),
        "{outcome:?}"
    );
    assert!(world.inserts().await.is_empty());
    assert!(
        world.writes("GET", "messages").await.len() == 1,
        "no query for the number, only for the message's rows"
    );
}

#[tokio::test]
async fn an_inaccessible_foreign_number_is_permanent() {
    let world = refusing(inaccessible_number()).await;
    assert_eq!(world.handle(to_number(FOREIGN)).await, Disposition::Delete);
    let rows = world.inserts().await.remove(0);
    let reason = rows[0]["unanswered_because"].as_str().expect("a reason");
    assert!(reason.contains("code 100, subcode 33") && !reason.contains("106540352242922"), "{reason}");
    let queries = world.writes("GET", "messages").await;
    let query = queries.last().expect("a query");
    assert_eq!(query.headers["range"], "0-0", "one row is sufficient");
    let query = query.url.query().unwrap_or_default().to_owned();
    for part in [format!("phone_number_id=eq.{FOREIGN}"), format!("user_id=eq.{USER}")] {
        assert!(query.contains(&part), "{query}");
    }
    // The same for an unlinked sender.
    let lookup = ResponseTemplate::new(200).set_body_json(json!([]));
    let world = World::new(Answers { send: inaccessible_number(), lookup, ..all_well() }).await;
    assert_eq!(world.handle(to_number(FOREIGN)).await, Disposition::Delete);
    assert!(world.inserts().await.is_empty());
}

#[tokio::test]
async fn a_number_with_an_earlier_send_belongs_to_the_account() {
    // According to this process.
    let world = refusing(inaccessible_number()).await;
    let reply = world.reply(Echo);
    reply.memory.numbers.add(&FOREIGN.parse().expect("an id"));
    assert!(is_returned(reply.handle(&delivery(to_number(FOREIGN), 1), Deadline::NONE).await));
    // According to the user's history, or when its query fails.
    let found = ResponseTemplate::new(200).set_body_json(json!([{"id": USER}]));
    for history in [found, ResponseTemplate::new(503)] {
        let world = refusing(inaccessible_number()).await;
        let answers = Mock::given(method("GET")).and(path("/rest/v1/messages"));
        let answers = answers.and(query_param("role", "eq.assistant")).respond_with(history);
        answers.with_priority(1).mount(&world.supabase).await;
        assert!(is_returned(world.handle(to_number(FOREIGN)).await));
    }
    // Or when the user lookup fails.
    let lookup = ResponseTemplate::new(503);
    let world = World::new(Answers { send: inaccessible_number(), lookup, ..all_well() }).await;
    assert!(is_returned(world.handle(to_number(FOREIGN)).await));
}

#[tokio::test]
async fn a_send_adds_its_number_to_the_working_numbers() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Echo);
    let number = "106540352242922".parse().expect("an id");
    assert!(!reply.memory.numbers.contains(&number));
    assert_eq!(reply.handle(&delivery(envelope(&text()), 1), Deadline::NONE).await, Disposition::Delete);
    assert!(reply.memory.numbers.contains(&number));
}

#[tokio::test]
async fn a_missing_appsecret_proof_is_an_account_error() {
    let message = "API calls from the server require an appsecret_proof argument";
    let error = json!({"error": {"message": message, "type": "GraphMethodException", "code": 100}});
    let world = refusing(ResponseTemplate::new(400).set_body_json(error)).await;
    assert!(is_returned(world.handle(to_number(FOREIGN)).await));
}

#[tokio::test]
async fn an_unspecific_error_is_retried_a_few_times() {
    let world = refusing(graph_error(400, 135_000)).await;
    let reply = world.reply(Echo);
    for receive_count in 1..4 {
        let outcome = reply.handle(&delivery(envelope(&text()), receive_count), Deadline::NONE).await;
        assert!(is_returned(outcome), "{receive_count}");
    }
    assert_eq!(reply.handle(&delivery(envelope(&text()), 4), Deadline::NONE).await, Disposition::Delete);
    let reason = "the Graph API returned 400, code 135000";
    assert_eq!(world.inserts().await.remove(0)[0]["unanswered_because"], reason);
}

fn refused(status: u16, code: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"code": code, "message": "…"}))
}

fn task() -> String {
    json!({"v1": {"record": {"user_id": USER, "sender": "16505551234", "wamid": "wamid.Q",
        "question": {"content": "Hello", "at": "2026-11-27T10:00:00Z"},
        "answer": {"content": "Hello", "at": "2026-11-27T10:00:01Z"}}}})
    .to_string()
}

#[tokio::test]
async fn rows_of_a_deleted_user_are_dropped() {
    let world = World::new(Answers { insert: refused(409, "23503"), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
    assert_eq!((world.sends().await.len(), world.inserts().await.len()), (1, 1));
    let reply = world.reply(Echo);
    assert_eq!(reply.handle(&record_delivery(&task()), Deadline::NONE).await, Disposition::Delete);
    assert_eq!(world.inserts().await.len(), 2);
    assert!(world.queues.take().is_empty(), "nothing is deferred");
    assert!(world.queues.dead_letters.lock().expect("a lock").is_empty());
}

#[tokio::test]
async fn refused_values_are_dead_lettered_at_once() {
    let world =
        World::new(Answers { insert: refused(400, "22P02"), stored: refused(400, "23514"), ..all_well() })
            .await;
    assert_eq!(world.handle(envelope(&text())).await, Disposition::Delete);
    let status = json!({"v1": {"status": {"received_at": "2026-11-27T10:00:00Z",
        "status": {"id": "wamid.A", "status": "read", "timestamp": "1795773600"}}}});
    assert_eq!(world.handle(status.to_string()).await, Disposition::Delete);
    let event = json!({"v1": {"event": {"received_at": "2026-11-27T10:00:00Z", "name": "account_update", "value": {}}}});
    assert_eq!(world.handle(event.to_string()).await, Disposition::Delete);
    let deferred = world.queues.take();
    assert_eq!(deferred.len(), 3);
    let reply = world.reply(Echo);
    for body in &deferred {
        assert_eq!(reply.handle(&record_delivery(body), Deadline::NONE).await, Disposition::Delete);
    }
    assert!(world.queues.take().is_empty());
    let causes = ["22P02", "23514", "23514"]
        .map(|code| (Source::Records, format!("rows not written: Supabase returned 400 ({code})")));
    assert_eq!(*world.queues.dead_letters.lock().expect("a lock"), causes);
}

#[tokio::test]
async fn an_error_that_an_operator_can_repair_is_retried() {
    for insert in [
        refused(401, "PGRST301"),
        refused(403, "42501"),
        refused(400, "PGRST204"),
        refused(404, "PGRST205"),
        ResponseTemplate::new(500),
    ] {
        let world = World::new(Answers { insert, ..all_well() }).await;
        let outcome = world.reply(Echo).handle(&record_delivery(&task()), Deadline::NONE).await;
        assert!(is_returned(outcome));
        assert!(world.queues.dead_letters.lock().expect("a lock").is_empty());
    }
}

/// The texts in the requests to Meta.
async fn bodies(world: &World) -> Vec<String> {
    let sends = world.sends().await;
    sends.iter().map(|send| json_of(send)["text"]["body"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn parts_are_sent_while_time_is_left_and_none_twice() {
    // Modelled on a public bug report: 41,000 characters, a deadline soon after the time for a part, and 0.3 s a send.
    let send = all_well().send.set_delay(Duration::from_millis(300));
    let world = World::new(Answers { send, ..all_well() }).await;
    let long = "word ".repeat(8200).trim_end().to_owned();
    let mut message = text();
    message["text"]["body"] = json!(long);
    let reply = world.reply(Echo);
    let deadline = Deadline::after(SEND_TIMEOUT + HANDOVER + Duration::from_secs(1));
    let response = batch::process(vec![delivery(envelope(&message), 1)], deadline, &reply).await;
    assert!(deadline.allows(SEND_TIMEOUT) && response.batch_item_failures.is_empty());
    let sent = bodies(&world).await;
    assert!((1..5).contains(&sent.len()), "{}", sent.len());
    assert!(world.inserts().await.is_empty(), "rows would claim that all parts were sent");

    // The task sends the rest in an invocation with enough time.
    let task = world.queues.take().remove(0);
    let later = World::new(all_well()).await;
    assert_eq!(later.reply(Echo).handle(&record_delivery(&task), Deadline::NONE).await, Disposition::Delete);
    let parts = [sent, bodies(&later).await].concat();
    assert_eq!(parts.len(), 11);
    assert_eq!(parts.join(" "), long, "each part once, in order");
    assert_eq!(later.inserts().await[0][1]["content"], long);
}

/// Handles `turns` messages of an automatic sender that replies to each answer, and returns the number of answers.
async fn answers_in_a_loop(world: &World, turns: usize) -> usize {
    let reply = world.reply(Echo);
    for turn in 0..turns {
        let mut message = text();
        message["id"] = json!(format!("wamid.{turn}"));
        message["timestamp"] = json!(chrono::Utc::now().timestamp().to_string());
        let body = json!({"v1": {"message": {"received_at": chrono::Utc::now(), "message": message}}});
        assert_eq!(reply.handle(&delivery(body.to_string(), 1), Deadline::NONE).await, Disposition::Delete);
    }
    world.sends().await.len()
}

#[tokio::test]
async fn a_loop_with_a_linked_user_is_recorded_and_not_answered() {
    let world = World::new(all_well()).await;
    assert_eq!(answers_in_a_loop(&world, TURNS + 3).await, TURNS);
    let rows = world.inserts().await;
    let (answered, silenced) = rows.split_at(TURNS);
    assert!(answered.iter().all(|rows| rows.as_array().map(Vec::len) == Some(2)));
    assert_eq!(silenced.len(), 3);
    for rows in silenced {
        assert_eq!((rows.as_array().map(Vec::len), &rows[0]["role"]), (Some(1), &json!("user")));
        let reason = rows[0]["unanswered_because"].as_str().expect("a reason");
        assert!(reason.contains("automatic"), "{reason}");
    }
}

#[tokio::test]
async fn a_loop_with_an_unlinked_sender_is_not_answered() {
    let lookup = ResponseTemplate::new(200).set_body_json(json!([]));
    let world = World::new(Answers { lookup, ..all_well() }).await;
    assert_eq!(answers_in_a_loop(&world, TURNS + 3).await, TURNS);
    assert!(world.inserts().await.is_empty() && world.queues.take().is_empty());
}

/// A queue client that never returns.
struct Silent;

impl QueueClient for Silent {
    async fn change_visibility(&self, _: Source, _: &str, _: Duration) -> Result<(), QueueError> {
        std::future::pending().await
    }

    async fn record_later(&self, _: String, _: Duration) -> Result<(), QueueError> {
        std::future::pending().await
    }

    async fn check_records(&self) -> Result<(), QueueError> {
        std::future::pending().await
    }

    async fn dead_letter(&self, _: &Delivery, _: &str) -> Result<(), QueueError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn unresponsive_services_do_not_exceed_the_deadline() {
    // The listener never accepts: connections are established, but no response arrives. Time is paused, so that all
    // timeouts elapse at once.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let http = shared::http::client().expect("a client");
    let supabase =
        Supabase::new(&url.parse().expect("a URL"), "sb_secret_k".parse().expect("a key"), http.clone());
    let settings = GraphSettings {
        url: url.parse().expect("a URL"),
        version: "v25.0".parse().expect("a version"),
        access_token: SecretString::from("token"),
    };
    let reply = Reply {
        database: Project::new(supabase),
        messenger: Graph::new(settings, http),
        queues: Silent,
        responder: Echo,
        registration_text: "Please register.".to_owned(),
        read_receipts: reply::read_receipts::ReadReceipts::Typing,
        answers_groups: false,
        phone_number_id: "999".parse().expect("an id"),
        window: Window::OFF,
        clock: std::sync::Arc::new(chrono::Utc::now),
        memory: std::sync::Arc::new(Memory::default()),
    };
    let status = json!({"v1": {"status": {"received_at": "2026-11-27T10:00:00Z",
        "status": {"id": "wamid.A", "status": "read", "timestamp": "1795773600"}}}});
    let event: Value =
        json!({"v1": {"event": {"received_at": "2026-11-27T10:00:00Z", "name": "calls", "value": {}}}});
    for body in [envelope(&text()), status.to_string(), event.to_string(), "hello".to_owned()] {
        for delivery in [delivery(body.clone(), 3), record_delivery(&task()), record_delivery(&body)] {
            for seconds in [1, 5, 12, 90] {
                let time = Duration::from_secs(seconds);
                let start = Instant::now();
                let response = batch::process(vec![delivery.clone()], Deadline::after(time), &reply).await;
                assert!(start.elapsed() < time, "{:?} of {time:?}", start.elapsed());
                assert_eq!(response.batch_item_failures.len(), 1);
            }
        }
    }
}

#[tokio::test]
async fn database_requests_survive_connections_closed_by_supabase() {
    let peer = Peer::start(Breaks::AtSecond, 200, "[]").await;
    let http = shared::http::client().expect("a client");
    let key = "sb_secret_k".parse().expect("a key");
    let project = Project::new(Supabase::new(&peer.url.parse().expect("a URL"), key, http));
    let status = json!({"v1": {"status": {"received_at": "2026-11-27T10:00:00Z",
        "status": {"id": "wamid.A", "status": "read", "timestamp": "1795773600"}}}});
    let Ok(Work::Status(status)) = Work::read(&status.to_string()) else { panic!("a status") };
    let Ok(Work::Record(task)) = Work::read(&task()) else { panic!("rows") };
    let user_id = USER.parse().expect("an id");
    for _ in 0..2 {
        assert!(project.recorded(&[user_id]).await.expect("an answer").is_empty());
        project.record_status(&status).await.expect("written");
        project.record(user_id, &task.exchange).await.expect("written");
    }
    assert_eq!((peer.seen().answered, peer.seen().broken), (6, 5));
}
