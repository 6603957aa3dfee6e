//! What becomes of a message, with Meta and Supabase answering over real HTTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reply::Reply;
use reply::batch::{Handle, Outcome};
use reply::database::Project;
use reply::delivery::{Delivery, Work};
use reply::graph::{Graph, GraphSettings};
use reply::history::row_id;
use reply::queues::{Queue, QueueError, Queues};
use reply::responder::{Echo, Question, Responder};
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::envelope::{Envelope, V1};
use shared::message::Role;
use shared::supabase::Supabase;
use uuid::Uuid;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const USER: &str = "11111111-1111-4111-8111-111111111111";

/// Meta and Supabase, one server each.
struct World {
    graph: MockServer,
    supabase: MockServer,
    queues: FakeQueues,
}

/// Keeps what it is told, or refuses it.
#[derive(Clone, Default)]
struct FakeQueues {
    records: Arc<Mutex<Vec<String>>>,
    dead_letters: Arc<Mutex<Vec<(Queue, String)>>>,
    refuses: bool,
}

impl Queues for FakeQueues {
    async fn set_back(&self, _: Queue, _: &str, _: Duration) -> Result<(), QueueError> {
        Ok(())
    }

    async fn record_later(&self, body: String) -> Result<(), QueueError> {
        if self.refuses {
            return Err(QueueError("no connection".to_owned()));
        }
        self.records.lock().expect("a lock").push(body);
        Ok(())
    }

    async fn give_up(&self, delivery: &Delivery, cause: &str) -> Result<(), QueueError> {
        if self.refuses {
            return Err(QueueError("no connection".to_owned()));
        }
        self.dead_letters.lock().expect("a lock").push((delivery.queue, cause.to_owned()));
        Ok(())
    }
}

impl FakeQueues {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.records.lock().expect("a lock"))
    }
}

/// What the two answer.
struct Answers {
    send: ResponseTemplate,
    lookup: ResponseTemplate,
    recorded: ResponseTemplate,
    insert: ResponseTemplate,
}

fn all_well() -> Answers {
    Answers {
        send: ResponseTemplate::new(200).set_body_json(json!({"messages": [{"id": "wamid.answer"}]})),
        lookup: ResponseTemplate::new(200).set_body_json(json!([{"user_id": USER}])),
        recorded: ResponseTemplate::new(200).set_body_json(json!([])),
        insert: ResponseTemplate::new(201),
    }
}

fn graph_error(status: u16, code: i64) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"error": {"message": "…", "code": code}}))
}

impl World {
    async fn new(answers: Answers) -> Self {
        let (graph, supabase) = (MockServer::start().await, MockServer::start().await);
        Mock::given(method("POST")).respond_with(answers.send).mount(&graph).await;
        let lookup = Mock::given(method("GET")).and(path("/rest/v1/user_preferences"));
        lookup.respond_with(answers.lookup).mount(&supabase).await;
        let recorded = Mock::given(method("GET")).and(path("/rest/v1/messages"));
        recorded.respond_with(answers.recorded).mount(&supabase).await;
        let insert = Mock::given(method("POST")).and(path("/rest/v1/messages"));
        insert.respond_with(answers.insert).mount(&supabase).await;
        Self { graph, supabase, queues: FakeQueues::default() }
    }

    fn reply<R>(&self, responder: R) -> Reply<Project, Graph, FakeQueues, R> {
        let http = shared::http::client().expect("a client");
        let url = self.supabase.uri().parse().expect("a URL");
        let supabase = Supabase::new(&url, "sb_secret_k".parse().expect("a key"), http.clone());
        let settings = GraphSettings {
            url: self.graph.uri().parse().expect("a URL"),
            version: "v25.0".parse().expect("a version"),
            access_token: SecretString::from("token"),
        };
        Reply {
            database: Project::new(supabase),
            messenger: Graph::new(settings, http),
            queues: self.queues.clone(),
            responder,
            registration_text: "Please register.".to_owned(),
            phone_number_id: "999".parse().expect("an id"),
            clock: Arc::new(chrono::Utc::now),
        }
    }

    /// Handles an envelope with the echo, delivered for the first time.
    async fn handle(&self, body: String) -> Outcome {
        self.reply(Echo).handle(&delivery(body, 1)).await
    }

    async fn sends(&self) -> Vec<Request> {
        self.graph.received_requests().await.expect("recorded")
    }

    async fn inserts(&self) -> Vec<Value> {
        let requests = self.supabase.received_requests().await.expect("recorded");
        let inserts = requests.into_iter().filter(|request| request.method.as_str() == "POST");
        inserts.map(|request| json_of(&request)).collect()
    }
}

fn json_of(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

fn envelope(message: &Value) -> String {
    let metadata = json!({"phone_number_id": "106540352242922"});
    let received_at = "2025-06-08T20:59:43.500Z";
    json!({"v1": {"message": {"received_at": received_at, "metadata": metadata, "message": message}}})
        .to_string()
}

/// A delivery of the inbound queue.
fn delivery(body: String, receive_count: u32) -> Delivery {
    let group = Some("group".to_owned());
    let (message_id, receipt_handle) = ("m1".to_owned(), "r1".to_owned());
    let work = Work::read(&body);
    Delivery { message_id, receipt_handle, queue: Queue::Inbound, group, receive_count, work, body }
}

/// Whether the message comes again, after some time.
fn is_returned(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Return(delay) if delay >= Duration::from_secs(2))
}

fn text() -> Value {
    json!({"from": "16505551234", "id": "wamid.Q", "timestamp": "1749416383", "type": "text", "text": {"body": "Hello"}})
}

#[tokio::test]
async fn a_linked_user_gets_an_echo_and_both_rows_are_one_insert() {
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);

    let sends = world.sends().await;
    let [send] = sends.as_slice() else { panic!("{} sends", sends.len()) };
    assert_eq!(send.url.path(), "/v25.0/106540352242922/messages");
    let body = json_of(send);
    assert_eq!((&body["text"]["body"], &body["to"]), (&json!("Hello"), &json!("16505551234")));
    assert_eq!(body["context"]["message_id"], "wamid.Q");

    let inserts = world.inserts().await;
    let [rows] = inserts.as_slice() else { panic!("{} inserts", inserts.len()) };
    let rows = rows.as_array().expect("an array");
    assert_eq!(rows.len(), 2);
    for (row, role) in rows.iter().zip([Role::User, Role::Assistant]) {
        assert_eq!(row["id"], row_id("wamid.Q", &role).to_string());
        assert_eq!(row["user_id"], USER);
        assert_eq!(row["role"], role.as_str());
        assert_eq!((&row["channel"], &row["content"]), (&json!("whatsapp"), &json!("Hello")));
    }
    let time =
        |row: &Value| row["created_at"].as_str().expect("a time").parse::<chrono::DateTime<chrono::Utc>>();
    let (asked, answered) = (time(&rows[0]).expect("a time"), time(&rows[1]).expect("a time"));
    assert_eq!(asked.timestamp(), 1_749_416_383);
    assert!(asked < answered);
}

#[tokio::test]
async fn the_lookup_asks_for_both_spellings_with_the_service_key() {
    let world = World::new(all_well()).await;
    assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
    let requests = world.supabase.received_requests().await.expect("recorded");
    let lookup = requests.iter().find(|request| request.method.as_str() == "GET").expect("a lookup");
    let filter = lookup.url.query_pairs().find(|(name, _)| name == "whatsapp_phone").expect("a filter").1;
    let spellings = filter.replace('"', "");
    assert_eq!(spellings, "in.(+16505551234,16505551234)");
    assert_eq!(lookup.headers["apikey"], "sb_secret_k");
    assert_eq!(lookup.headers["range"], "0-99", "two rows may be one user's, and hide another owner");
}

#[tokio::test]
async fn nobody_s_number_is_told_how_to_register_and_nothing_is_written() {
    let lookup = ResponseTemplate::new(200).set_body_json(json!([]));
    let world = World::new(Answers { lookup, ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
    let sends = world.sends().await;
    assert_eq!(json_of(&sends[0])["text"]["body"], "Please register.");
    assert!(world.inserts().await.is_empty());
}

#[tokio::test]
async fn a_number_that_several_users_linked_is_nobody_s() {
    let [mine, other] =
        [json!({"user_id": USER}), json!({"user_id": "22222222-2222-4222-8222-222222222222"})];
    let hidden = json!([mine, mine, {"user_id": null}, other]);
    // As many rows as are asked for: there may be more.
    let many = Value::from(vec![mine.clone(); 100]);
    for rows in [json!([mine, other]), hidden, many] {
        let lookup = ResponseTemplate::new(200).set_body_json(rows);
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
        assert_eq!(json_of(&world.sends().await[0])["text"]["body"], "Please register.");
        assert!(world.inserts().await.is_empty());
    }
}

#[tokio::test]
async fn rows_without_a_user_link_nothing_and_several_rows_of_one_user_are_one() {
    let (mine, none) = (json!({"user_id": USER}), json!({"user_id": null}));
    for (rows, expected) in [
        (json!([none, mine]), "Hello"),
        (json!([mine, mine, mine]), "Hello"),
        (json!([none, none]), "Please register."),
    ] {
        let lookup = ResponseTemplate::new(200).set_body_json(rows);
        let world = World::new(Answers { lookup, ..all_well() }).await;
        assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
        assert_eq!(json_of(&world.sends().await[0])["text"]["body"], expected);
    }
}

#[tokio::test]
async fn a_database_that_is_down_does_not_prevent_the_echo() {
    for lookup in [ResponseTemplate::new(503), ResponseTemplate::new(200).set_body_string("<html>")] {
        let world = World::new(Answers { lookup, insert: ResponseTemplate::new(503), ..all_well() }).await;
        assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
        assert_eq!(json_of(&world.sends().await[0])["text"]["body"], "Hello");
    }
    let world = World::new(Answers { insert: ResponseTemplate::new(500), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
    assert_eq!(world.sends().await.len(), 1);
}

#[tokio::test]
async fn a_database_that_says_nothing_does_not_prevent_the_echo_either() {
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address")).parse().expect("a URL");
    let world = World::new(all_well()).await;
    let mut reply = world.reply(Echo);
    let http = shared::http::client().expect("a client");
    let supabase = Supabase::new(&url, "sb_secret_k".parse().expect("a key"), http);
    reply.database = Project::new(supabase);
    assert_eq!(reply.handle(&delivery(envelope(&text()), 1)).await, Outcome::Done);
    assert_eq!(json_of(&world.sends().await[0])["text"]["body"], "Hello");
}

#[tokio::test]
async fn a_passing_error_returns_the_message_and_writes_nothing() {
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
async fn a_final_error_ends_the_message() {
    let world = World::new(Answers { send: graph_error(400, 131_047), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
    assert_eq!(world.sends().await.len(), 1);
}

#[tokio::test]
async fn other_types_and_messages_of_nobody_are_acknowledged_and_not_answered() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Echo);
    for message in [
        json!({"from": "16505551234", "id": "w", "type": "image", "image": {"id": "1"}}),
        json!({"from": "16505551234", "id": "w", "type": "hologram"}),
        json!({"id": "w", "type": "text", "text": {"body": "who am I?"}}),
        json!({}),
        json!(null),
        json!([1, 2]),
    ] {
        assert_eq!(reply.handle(&delivery(envelope(&message), 1)).await, Outcome::Done);
    }
    assert!(world.sends().await.is_empty());
    assert!(world.inserts().await.is_empty());
}

#[tokio::test]
async fn what_is_no_envelope_goes_back_to_the_queue() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Echo);
    for body in ["", "hello", "{}", r#"{"v2":{"message":{}}}"#] {
        assert!(is_returned(reply.handle(&delivery(body.to_owned(), 1)).await));
    }
}

#[tokio::test]
async fn a_message_without_a_number_s_id_is_answered_from_the_configured_one() {
    let world = World::new(all_well()).await;
    let envelope = json!({"v1": {"message": {"received_at": "2025-06-08T20:59:43Z", "message": text()}}});
    assert_eq!(world.handle(envelope.to_string()).await, Outcome::Done);
    assert_eq!(world.sends().await[0].url.path(), "/v25.0/999/messages");
}

/// Answers as it is told to, and checks what it is asked.
struct Told(Result<Option<String>, String>);

impl Responder for Told {
    type Error = String;

    async fn respond(&self, question: Question<'_>) -> Result<Option<String>, String> {
        assert_eq!(question.text, "Hello");
        assert_eq!(question.user_id, Some(USER.parse::<Uuid>().expect("a user")));
        self.0.clone()
    }
}

#[tokio::test]
async fn a_responder_decides_on_the_answer() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Told(Ok(Some("Hi!".to_owned()))));
    assert_eq!(reply.handle(&delivery(envelope(&text()), 1)).await, Outcome::Done);
    assert_eq!(json_of(&world.sends().await[0])["text"]["body"], "Hi!");
    let rows = world.inserts().await.remove(0);
    assert_eq!((&rows[0]["content"], &rows[1]["content"]), (&json!("Hello"), &json!("Hi!")));
}

#[tokio::test]
async fn a_responder_may_stay_silent_and_the_question_is_kept() {
    for nothing in [None, Some(String::new()), Some(" \n".to_owned())] {
        let world = World::new(all_well()).await;
        assert_eq!(
            world.reply(Told(Ok(nothing))).handle(&delivery(envelope(&text()), 1)).await,
            Outcome::Done
        );
        assert!(world.sends().await.is_empty());
        let rows = world.inserts().await.remove(0);
        assert_eq!(rows.as_array().map(Vec::len), Some(1));
        assert_eq!(rows[0]["role"], "user");
    }
}

#[tokio::test]
async fn a_responder_that_fails_is_asked_again() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Told(Err("the model is overloaded".to_owned())));
    assert!(is_returned(reply.handle(&delivery(envelope(&text()), 1)).await));
    assert!(world.sends().await.is_empty());
}

#[tokio::test]
async fn a_message_whose_rows_are_written_is_acknowledged_and_not_answered_again() {
    let recorded = ResponseTemplate::new(200).set_body_json(json!([{"id": row_id("wamid.Q", &Role::User)}]));
    let world = World::new(Answers { recorded, ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
    assert!(world.sends().await.is_empty() && world.inserts().await.is_empty());
    let requests = world.supabase.received_requests().await.expect("recorded");
    let check = requests.iter().find(|request| request.url.path() == "/rest/v1/messages").expect("a check");
    let filter = check.url.query_pairs().find(|(name, _)| name == "id").expect("a filter").1;
    assert_eq!(filter, format!("eq.{}", row_id("wamid.Q", &Role::User)));
}

#[tokio::test]
async fn rows_that_the_database_does_not_take_become_a_task_and_the_task_writes_them() {
    let world = World::new(Answers { insert: ResponseTemplate::new(503), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
    let tasks = world.queues.take();
    let [task] = tasks.as_slice() else { panic!("{} tasks", tasks.len()) };
    let Ok(Envelope::V1(V1::Record(read))) = Envelope::from_body(task) else { panic!("{task}") };
    assert_eq!((read.user_id, read.sender.as_str()), (USER.parse().ok(), "16505551234"));
    // While the database is down the task comes again, and puts no second task on the queue.
    assert!(is_returned(world.reply(Echo).handle(&record_delivery(task)).await));
    assert!(world.queues.take().is_empty());

    let up = World::new(all_well()).await;
    assert_eq!(up.reply(Echo).handle(&record_delivery(task)).await, Outcome::Done);
    assert!(up.sends().await.is_empty(), "a task answers nobody");
    assert_eq!(up.inserts().await, world.inserts().await[..1], "the very rows that were refused");
}

#[tokio::test]
async fn a_task_finds_the_user_whom_the_message_could_not_find() {
    let world = World::new(Answers { lookup: ResponseTemplate::new(503), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
    assert_eq!(world.sends().await.len(), 1);
    let task = world.queues.take().remove(0);
    assert!(is_returned(world.reply(Echo).handle(&record_delivery(&task)).await));

    let up = World::new(all_well()).await;
    assert_eq!(up.reply(Echo).handle(&record_delivery(&task)).await, Outcome::Done);
    assert_eq!(up.inserts().await[0][1]["user_id"], USER);

    let nobody = ResponseTemplate::new(200).set_body_json(json!([]));
    let nobody = World::new(Answers { lookup: nobody, ..all_well() }).await;
    assert_eq!(nobody.reply(Echo).handle(&record_delivery(&task)).await, Outcome::Done);
    assert!(nobody.inserts().await.is_empty());
}

#[tokio::test]
async fn rows_that_nobody_takes_bring_the_message_back() {
    let mut world = World::new(Answers { insert: ResponseTemplate::new(503), ..all_well() }).await;
    world.queues.refuses = true;
    assert!(is_returned(world.handle(envelope(&text())).await));
    assert_eq!(world.sends().await.len(), 1);
}

#[tokio::test]
async fn a_final_error_is_recorded_with_the_question() {
    let world = World::new(Answers { send: graph_error(400, 131_047), ..all_well() }).await;
    assert_eq!(world.handle(envelope(&text())).await, Outcome::Done);
    let rows = world.inserts().await.remove(0);
    assert_eq!(rows.as_array().map(Vec::len), Some(1));
    assert_eq!((&rows[0]["role"], &rows[0]["content"]), (&json!("user"), &json!("Hello")));
    assert_eq!(rows[0]["unanswered_because"], "the Graph API answered 400, code 131047");
}

#[tokio::test]
async fn an_account_error_waits_longer_than_a_passing_one() {
    let delay = async |code: i64| {
        let world = World::new(Answers { send: graph_error(400, code), ..all_well() }).await;
        match world.handle(envelope(&text())).await {
            Outcome::Return(delay) => delay,
            Outcome::Done => panic!("{code} is not final"),
        }
    };
    assert!(delay(190).await >= Duration::from_secs(450));
    assert!(delay(131_056).await <= Duration::from_secs(4));
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_set_aside_after_some_tries() {
    let world = World::new(all_well()).await;
    let reply = world.reply(Echo);
    let body = r#"{"v2":{}}"#.to_owned();
    for receive_count in [1, 2] {
        assert!(is_returned(reply.handle(&delivery(body.clone(), receive_count)).await));
        assert!(is_returned(reply.panicked(&delivery(body.clone(), receive_count)).await));
    }
    assert_eq!(reply.handle(&delivery(body.clone(), 3)).await, Outcome::Done);
    assert_eq!(reply.panicked(&delivery(body.clone(), 3)).await, Outcome::Done);
    assert_eq!(world.queues.take(), [body.clone(), body.clone()]);
    // From the record queue it goes nowhere else but to the dead letters.
    assert!(is_returned(reply.handle(&Delivery { receive_count: 99, ..record_delivery(&body) }).await));
    assert!(world.queues.take().is_empty());
}

#[tokio::test]
async fn a_message_that_has_failed_often_enough_is_given_up_with_the_cause() {
    let send = graph_error(401, 190);
    let mut world = World::new(Answers { send, insert: ResponseTemplate::new(503), ..all_well() }).await;
    let tries = Queue::Inbound.tries();
    assert!(is_returned(world.reply(Echo).handle(&delivery(envelope(&text()), tries - 1)).await));
    assert_eq!(world.reply(Echo).handle(&delivery(envelope(&text()), tries)).await, Outcome::Done);
    let rows = json!({"v1": {"record": {"user_id": USER, "sender": "16505551234", "wamid": "wamid.Q",
        "question": {"content": "Hello", "at": "2025-06-08T20:59:43Z"}}}});
    let rows = |receive_count| Delivery { receive_count, ..record_delivery(&rows.to_string()) };
    let tries = Queue::Records.tries();
    assert!(is_returned(world.reply(Echo).handle(&rows(tries - 1)).await));
    assert_eq!(world.reply(Echo).handle(&rows(tries)).await, Outcome::Done);
    let causes = [
        (Queue::Inbound, "the answer was not sent: the Graph API answered 401, code 190".to_owned()),
        (Queue::Records, "rows not written: Supabase answered 503 (no code)".to_owned()),
    ];
    assert_eq!(*world.queues.dead_letters.lock().expect("a lock"), causes);

    // What the dead-letter queue does not take is tried again.
    world.queues.refuses = true;
    assert!(is_returned(world.reply(Echo).handle(&rows(tries)).await));
    // However often it was received: one that had only stood behind another is answered like any.
    let well = World::new(all_well()).await;
    assert_eq!(well.reply(Echo).handle(&delivery(envelope(&text()), 60)).await, Outcome::Done);
    assert_eq!(well.sends().await.len(), 1);
    assert!(well.queues.dead_letters.lock().expect("a lock").is_empty());
}

#[tokio::test]
async fn a_long_answer_is_sent_in_parts_and_recorded_whole() {
    let world = World::new(all_well()).await;
    let long = "word ".repeat(2000).trim_end().to_owned();
    let reply = world.reply(Told(Ok(Some(long.clone()))));
    assert_eq!(reply.handle(&delivery(envelope(&text()), 1)).await, Outcome::Done);
    let bodies: Vec<_> =
        world.sends().await.iter().map(|send| json_of(send)["text"]["body"].clone()).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| body.as_str().is_some_and(|body| (1..=4096).contains(&body.len()))));
    assert_eq!(world.inserts().await[0][1]["content"], long);
}

/// Answers in three parts, of which Meta takes `taken` before it answers with `send`.
async fn long_answer(taken: u64, send: ResponseTemplate) -> (World, String, Outcome) {
    let world = World::new(Answers { send, ..all_well() }).await;
    let first = Mock::given(method("POST")).respond_with(all_well().send).up_to_n_times(taken);
    first.with_priority(1).mount(&world.graph).await;
    let long = "word ".repeat(2000).trim_end().to_owned();
    let reply = world.reply(Told(Ok(Some(long.clone()))));
    let outcome = reply.handle(&delivery(envelope(&text()), 1)).await;
    (world, long, outcome)
}

/// The texts that Meta was sent.
async fn bodies(world: &World) -> Vec<String> {
    let sends = world.sends().await;
    sends.iter().map(|send| json_of(send)["text"]["body"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn the_rest_of_a_long_answer_is_sent_later_and_nothing_of_it_twice() {
    let (world, long, outcome) = long_answer(1, graph_error(400, 131_056)).await;
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(world.sends().await.len(), 2, "the first part, and the one that was refused");
    assert!(world.inserts().await.is_empty(), "rows say that all was sent");
    let task = world.queues.take().remove(0);
    // Meta still refuses: the task comes again as it is.
    assert!(is_returned(world.reply(Echo).handle(&record_delivery(&task)).await));
    assert!(world.queues.take().is_empty());

    // It takes one more part.
    let up = World::new(Answers { send: graph_error(500, 131_000), ..all_well() }).await;
    let one = Mock::given(method("POST")).respond_with(all_well().send).up_to_n_times(1).with_priority(1);
    one.mount(&up.graph).await;
    assert_eq!(up.reply(Echo).handle(&record_delivery(&task)).await, Outcome::Done);
    let shorter = up.queues.take().remove(0);
    assert!(shorter.len() < task.len() && up.inserts().await.is_empty());

    // And the last one; the database is away meanwhile.
    let last = World::new(Answers { insert: ResponseTemplate::new(503), ..all_well() }).await;
    assert_eq!(last.reply(Echo).handle(&record_delivery(&shorter)).await, Outcome::Done);
    let rows = last.queues.take().remove(0);
    assert_eq!(last.sends().await.len(), 1);
    assert_eq!(json_of(&last.sends().await[0])["context"]["message_id"], "wamid.Q");
    let done = World::new(all_well()).await;
    assert_eq!(done.reply(Echo).handle(&record_delivery(&rows)).await, Outcome::Done);
    assert!(done.sends().await.is_empty());
    assert_eq!(done.inserts().await[0][1]["content"], long);

    // Everything arrived, each part once: what was refused is not counted.
    let parts = [&world, &up, &last].map(|world| async { bodies(world).await });
    let [first, second, third] = futures::future::join_all(parts).await.try_into().expect("three");
    assert_eq!([&first[0], &second[0], &third[0]].map(String::as_str).join(" "), long);
}

#[tokio::test]
async fn a_task_whose_rows_are_written_sends_nothing_again() {
    let (world, _, _) = long_answer(1, graph_error(400, 131_056)).await;
    let task = world.queues.take().remove(0);
    let recorded = ResponseTemplate::new(200).set_body_json(json!([{"id": row_id("wamid.Q", &Role::User)}]));
    let done = World::new(Answers { recorded, ..all_well() }).await;
    assert_eq!(done.reply(Echo).handle(&record_delivery(&task)).await, Outcome::Done);
    assert!(done.sends().await.is_empty() && done.inserts().await.is_empty());
}

#[tokio::test]
async fn a_long_answer_that_is_refused_for_good_in_the_middle_is_recorded_as_far_as_it_came() {
    let (world, long, outcome) = long_answer(2, graph_error(400, 131_047)).await;
    assert_eq!(outcome, Outcome::Done);
    assert!(world.queues.take().is_empty());
    let rows = world.inserts().await.remove(0);
    let said = rows[1]["content"].as_str().expect("an answer");
    assert!(long.starts_with(said) && (8000..long.len()).contains(&said.len()), "{}", said.len());
}

#[tokio::test]
async fn the_rest_of_an_answer_that_not_even_the_queue_takes_brings_the_message_back() {
    let mut world = World::new(Answers { send: graph_error(429, 130_429), ..all_well() }).await;
    let one = Mock::given(method("POST")).respond_with(all_well().send).up_to_n_times(1).with_priority(1);
    one.mount(&world.graph).await;
    world.queues.refuses = true;
    let reply = world.reply(Told(Ok(Some("word ".repeat(2000)))));
    assert!(is_returned(reply.handle(&delivery(envelope(&text()), 1)).await));
}

/// A delivery of the record queue.
fn record_delivery(body: &str) -> Delivery {
    Delivery { queue: Queue::Records, group: Some("wamid.Q".to_owned()), ..delivery(body.to_owned(), 1) }
}
