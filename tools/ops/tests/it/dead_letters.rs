//! Dead letters on a real queue: listed with their cause, not removed, and redriven.

use std::process::Stdio;

use aws_lambda_events::event::sqs::{SqsEvent, SqsMessage};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use local_graph::Fault;
use local_sqs::{Action, Fault as QueueFault, SqsServer};
use local_stack::queues::{INBOUND, INBOUND_DEAD_LETTERS, Queues, RECORD_DEAD_LETTERS, RECORDS};
use ops::dead_letters::cause::Kind;
use ops::dead_letters::print;
use ops::dead_letters::queue::{self, DeadLetters};
use ops::dead_letters::reasons::Reasons;
use reply::delivery::Source;
use serde_json::json;
use tokio::process::Command;

use local_testing::*;

/// Starts the queues of a stack, with a maximum of one receive before dead-lettering.
async fn queues() -> Queues {
    let queues = Queues::start(None, 1).await.expect("queues");
    for (url, dead) in
        [(&queues.inbound_url, INBOUND_DEAD_LETTERS), (&queues.records_url, RECORD_DEAD_LETTERS)]
    {
        allow_receives(&queues.client, url, dead, 1).await;
    }
    queues
}

async fn allow_receives(client: &Client, url: &str, dead_letters: &str, count: u32) {
    let policy = json!({"deadLetterTargetArn": local_sqs::queue_arn(dead_letters), "maxReceiveCount": count});
    let call = client.set_queue_attributes().queue_url(url);
    call.attributes(QueueAttributeName::RedrivePolicy, policy.to_string()).send().await.expect("set");
}

fn server(queues: &Queues) -> &SqsServer {
    queues.server.as_ref().expect("our own queue")
}

fn envelope(wamid: &str) -> String {
    let message = text(PHONE_A, wamid, "a private question");
    json!({"v1": {"message": {"received_at": "2026-11-24T03:05:00Z", "message": message}}}).to_string()
}

fn record(wamid: &str) -> String {
    let question = json!({"content": "a private question", "at": "2026-11-24T03:05:00Z"});
    json!({"v1": {"record": {"user_id": null, "sender": PHONE_A, "wamid": wamid, "question": question}}})
        .to_string()
}

/// Sends the bodies to a queue and dead-letters each, in order.
async fn dead_letter(queues: &Queues, url: &str, bodies: &[String]) {
    for (n, body) in bodies.iter().enumerate() {
        let mut call = queues.client.send_message().queue_url(url).message_body(body);
        if url.ends_with(".fifo") {
            call = call.message_group_id("group").message_deduplication_id(format!("original-{n}"));
        }
        call.send().await.expect("sent");
    }
    let source = url.rsplit('/').next().expect("a name");
    until("all are dead letters", async || {
        let call = queues.client.receive_message().queue_url(url).visibility_timeout(0);
        call.max_number_of_messages(10).send().await.expect("received");
        server(queues).view(source).is_some_and(|view| view.messages.is_empty())
    })
    .await;
}

async fn open(queues: &Queues, name: &str) -> DeadLetters {
    let url = server(queues).queue_url(name);
    DeadLetters::open(queue::client(&url, None).expect("a client"), &url).await.expect("a dead-letter queue")
}

fn bodies(queues: &Queues, name: &str) -> Vec<String> {
    let view = server(queues).view(name).expect("the queue");
    view.messages.into_iter().map(|message| message.body.as_str().to_owned()).collect()
}

#[tokio::test]
async fn dead_letters_are_listed_with_their_cause_and_stay() {
    let queues = queues().await;
    let messages: Vec<String> = (0..3).map(|n| envelope(&format!("wamid.{n}"))).collect();
    dead_letter(&queues, &queues.inbound_url, &messages).await;
    let letters = open(&queues, INBOUND_DEAD_LETTERS).await;
    // A second read gives the same result: the group is not locked afterwards.
    for _ in 0..2 {
        let seen = letters.look(100).await.expect("seen");
        let wamids: Vec<_> = seen.iter().filter_map(|letter| letter.finding.wamid.as_deref()).collect();
        assert_eq!(wamids, ["wamid.0", "wamid.1", "wamid.2"]);
        assert!(seen.iter().all(|letter| letter.source.as_deref() == Some(INBOUND)), "{seen:#?}");
        assert_eq!(letters.count().await.expect("counted"), 3);
    }
    let seen = letters.look(100).await.expect("seen");
    let log = r#"{"wamid":"wamid.1","outcome":"returned","reason":"the reply was not sent: code 190"}"#;
    let table = print::table(&seen, &Reasons::from_lines(log.as_bytes()).expect("a log"));
    assert!(table.contains("the reply was not sent: code 190"), "{table}");
    assert!(table.contains(r#"wamid in ["wamid.0", "wamid.2"]"#), "{table}");
    assert!(!table.contains("private") && !table.contains(PHONE_A), "{table}");

    let one = letters.find("wamid.1").await.expect("looked").expect("found");
    assert_eq!(letters.find(&one.message_id).await.expect("looked").expect("found").body, messages[1]);
    assert!(letters.find("wamid.9").await.expect("looked").is_none());
    let masked = print::letter(&one, &Reasons::default(), false);
    assert!(!masked.contains("private") && !masked.contains(PHONE_A), "{masked}");
    let full = print::letter(&one, &Reasons::default(), true);
    assert!(full.contains("a private question") && full.contains(PHONE_A), "{full}");
}

#[tokio::test]
async fn reading_a_queue_that_is_not_for_dead_letters_is_refused() {
    let queues = queues().await;
    let error = DeadLetters::open(queues.client.clone(), &queues.inbound_url).await.expect_err("refused");
    assert!(error.to_string().contains("is not a dead-letter queue"), "{error:#}");
}

#[tokio::test]
async fn both_redrives_keep_the_order_and_lose_no_duplicate() {
    for one_by_one in [false, true] {
        let queues = queues().await;
        let messages: Vec<String> = (0..12).map(|n| envelope(&format!("wamid.{n:02}"))).collect();
        let records: Vec<String> = (0..12).map(|n| record(&format!("wamid.{n:02}"))).collect();
        dead_letter(&queues, &queues.inbound_url, &messages).await;
        dead_letter(&queues, &queues.records_url, &records).await;
        for (name, source, expected) in
            [(INBOUND_DEAD_LETTERS, INBOUND, &messages), (RECORD_DEAD_LETTERS, RECORDS, &records)]
        {
            let redriven = open(&queues, name).await.redrive(one_by_one).await.expect("redriven");
            assert_eq!((redriven.moved, redriven.left), (12, None), "{name} {one_by_one}");
            assert_eq!(bodies(&queues, source), *expected, "{name} {one_by_one}");
            assert!(bodies(&queues, name).is_empty());
        }
        let inbound = server(&queues).view(INBOUND).expect("the queue");
        assert!(inbound.messages.iter().all(|message| message.group_id.as_deref() == Some("group")));
        // An empty queue: nothing to do.
        let again = open(&queues, RECORD_DEAD_LETTERS).await.redrive(one_by_one).await.expect("done");
        assert_eq!((again.moved, again.left), (0, None));
    }
}

#[tokio::test]
async fn an_interrupted_redrive_sends_no_duplicate() {
    let queues = queues().await;
    dead_letter(&queues, &queues.inbound_url, &[envelope("wamid.1")]).await;
    let letters = open(&queues, INBOUND_DEAD_LETTERS).await;
    // The client makes three attempts.
    server(&queues).fail_next(Action::DeleteMessage, 3, QueueFault::Unavailable);
    letters.redrive(true).await.expect_err("not deleted");
    assert_eq!((bodies(&queues, INBOUND).len(), bodies(&queues, INBOUND_DEAD_LETTERS).len()), (1, 1));
    assert_eq!(letters.redrive(true).await.expect("redriven").moved, 1);
    assert_eq!((bodies(&queues, INBOUND).len(), bodies(&queues, INBOUND_DEAD_LETTERS).len()), (1, 0));
}

async fn command(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ops"));
    let output = command.arg("dead-letters").args(arguments).env_remove("AWS_ENDPOINT_URL_SQS");
    let output = output.env_remove("INBOUND_DEAD_LETTERS_URL").env_remove("RECORD_DEAD_LETTERS_URL");
    let output = output.stdin(Stdio::null()).stderr(Stdio::inherit()).output().await.expect("it starts");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[tokio::test]
async fn the_command_lists_shows_and_redrives() {
    let queues = queues().await;
    dead_letter(&queues, &queues.records_url, &[record("wamid.1"), "not JSON".to_owned()]).await;
    let url = server(&queues).queue_url(RECORD_DEAD_LETTERS);
    let (code, table) = command(&["list", "--queue-url", &url]).await;
    assert_eq!(code, Some(0), "{table}");
    for expected in ["wamid.1", "rows not written", "unreadable", "not JSON at line 1 column"] {
        assert!(table.contains(expected), "{table}");
    }
    let (code, shown) = command(&["show", "wamid.1", "--queue-url", &url]).await;
    assert!(code == Some(0) && shown.contains("…234") && !shown.contains("private"), "{shown}");
    assert_eq!(command(&["show", "wamid.2", "--queue-url", &url]).await.0, Some(1));
    let redriven = command(&["redrive", "--queue-url", &url]).await;
    assert_eq!(redriven, (Some(0), "records-dead-letters: 2 redriven\n".to_owned()));
    assert_eq!(command(&["--queue-url", &server(&queues).queue_url("missing")]).await.0, Some(1));
    assert_eq!(command(&["list", "--env-file", "there/is/none"]).await.0, Some(1));
}

#[tokio::test]
async fn a_poison_message_is_quarantined_and_dead_lettered() {
    let stack = stack().await;
    let queues = &stack.services.queues;
    allow_receives(&queues.client, &queues.records_url, RECORD_DEAD_LETTERS, 1).await;
    // In the message group of user A, before one of A's messages.
    let question = payload(&[text(PHONE_A, "wamid.after", "still there?")]);
    let mark = stack.logs.mark();
    let group = group_of_a();
    let poison = queues.client.send_message().queue_url(&queues.inbound_url).message_body(r#"{"v9":{}}"#);
    poison.message_group_id(group).message_deduplication_id("poison").send().await.expect("sent");
    assert_eq!(stack.post(&question).await.expect("answered"), 200);
    let letters = open(queues, RECORD_DEAD_LETTERS).await;

    outcome(&stack, mark, "wamid.after", "answered").await;
    let quarantined = stack.logs.since(mark);
    assert!(
        quarantined.iter().any(|entry| entry.field("counter") == "quarantined_messages"),
        "answered behind it"
    );
    until("it is a dead letter", async || letters.count().await.expect("counted") == 1).await;
    let seen = letters.look(10).await.expect("seen");
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].finding.kind, seen[0].source.as_deref()), (Kind::Unreadable, Some(RECORDS)));
    assert!(seen[0].finding.cause.starts_with("envelope version v9 is unknown"), "{}", seen[0].finding.cause);
    assert_eq!(rows(&stack).await.len(), 2);
    stack.stop().await.expect("stopped");
}

#[tokio::test]
async fn a_dead_letter_has_its_cause_and_later_messages_are_tried() {
    let stack = stack().await;
    let queues = &stack.services.queues;
    // Simulates hours of retries: one message fails for the last time, and two are behind it in the group.
    let wamids = ["wamid.1", "wamid.2", "wamid.3"];
    stack.services.graph.fail_recipient(PHONE_A, Some(1), Fault::error(401, 190));
    let mut records = Vec::new();
    for wamid in wamids {
        let mut record = SqsMessage::default();
        record.message_id = Some(format!("id.of.{wamid}"));
        record.receipt_handle = Some("none".to_owned());
        record.body = Some(envelope(wamid));
        record.event_source_arn = Some(local_sqs::queue_arn(INBOUND));
        record.attributes.insert("MessageGroupId".to_owned(), group_of_a());
        record
            .attributes
            .insert("ApproximateReceiveCount".to_owned(), Source::Inbound.max_receives().to_string());
        records.push(record);
    }
    let mark = stack.logs.mark();
    let mut event = SqsEvent::default();
    event.records = records;
    let event = serde_json::to_vec(&event).expect("JSON");
    let answer = stack.reply.invoke(event).await.expect("answered");
    assert_eq!(String::from_utf8_lossy(&answer), r#"{"batchItemFailures":[]}"#);
    let dead_lettered = stack.logs.since(mark).into_iter().find(|e| e.field("counter") == "dead_letters");
    assert_eq!(dead_lettered.expect("counted").field("wamid"), "wamid.1");
    let users = rows(&stack).await.into_iter().filter(|row| row.0 == "user").count();
    assert_eq!((stack.services.graph.received().len(), users), (2, 2));

    let letters = open(queues, INBOUND_DEAD_LETTERS).await;
    let seen = letters.look(10).await.expect("seen");
    assert_eq!((seen.len(), seen[0].group.as_deref()), (1, Some(group_of_a().as_str())));
    let cause = "the reply was not sent: the Graph API returned 401, code 190";
    assert!(seen[0].cause.as_deref().is_some_and(|said| said.starts_with(cause)), "{:?}", seen[0].cause);
    let table = print::table(&seen, &Reasons::default());
    assert!(table.contains(cause) && !table.contains("Logs Insights"), "{table}");

    // After the token is repaired, one command leads to the reply.
    let mark = stack.logs.mark();
    let url = server(queues).queue_url(INBOUND_DEAD_LETTERS);
    let redriven = command(&["redrive", "--queue-url", &url]).await;
    assert_eq!(redriven, (Some(0), "inbound-dead-letters.fifo: 1 redriven\n".to_owned()));
    outcome(&stack, mark, "wamid.1", "answered").await;
    assert_eq!((rows(&stack).await.len(), bodies(queues, INBOUND_DEAD_LETTERS).len()), (6, 0));
    stack.stop().await.expect("stopped");
}

/// Returns the message group of user A's messages to the sample's business number.
fn group_of_a() -> String {
    let body = payload(&[text(PHONE_A, "wamid.group", "")]);
    let body = webhook::readable::Readable::of(&body);
    let updates = webhook::payload::read(&body);
    let entries = webhook::entry::Entry::all(&updates, chrono::Utc::now()).expect("entries");
    entries[0].message_group_id.clone()
}
