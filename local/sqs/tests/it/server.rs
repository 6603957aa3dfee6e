//! The server: error encoding, fault injection, a large backlog, stopping.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use local_sqs::{Action, Fault, NewMessage, SqsServer, State};

use crate::support::{DEADLINE, attribute, bodies, client, code, handle, receive};

async fn queue(client: &Client, name: &str) -> String {
    let mut create = client.create_queue().queue_name(name);
    if name.ends_with(".fifo") {
        create = create.attributes(QueueAttributeName::FifoQueue, "true");
    }
    create.send().await.expect("create").queue_url.expect("a queue URL")
}

fn entry(id: usize, group: &str, body: &str) -> SendMessageBatchRequestEntry {
    let entry = SendMessageBatchRequestEntry::builder().id(id.to_string()).message_body(body);
    entry.message_group_id(group).message_deduplication_id(body).build().expect("entry")
}

#[tokio::test]
async fn errors_are_parsed_as_the_typed_sdk_errors() {
    let server = SqsServer::start(0).await.expect("start");
    let client = client(server.endpoint_url());
    let missing = server.queue_url("missing");
    let sent = client.send_message().queue_url(&missing).message_body("x").send().await;
    assert!(sent.expect_err("missing").into_service_error().is_queue_does_not_exist());
    let url = queue(&client, "q").await;
    assert_eq!(url, server.queue_url("q"));
    let send = |entries| client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send();
    let batch = |bodies: &[&str]| {
        let entry = |(id, body): (usize, &&str)| {
            SendMessageBatchRequestEntry::builder()
                .id(id.to_string())
                .message_body(*body)
                .build()
                .expect("entry")
        };
        bodies.iter().enumerate().map(entry).collect::<Vec<_>>()
    };
    let half = "x".repeat(600_000);
    assert!(send(vec![]).await.expect_err("empty").into_service_error().is_empty_batch_request());
    let many = send(batch(&["x"; 11])).await.expect_err("11").into_service_error();
    assert!(many.is_too_many_entries_in_batch_request());
    let long = send(batch(&[&half, &half])).await.expect_err("long").into_service_error();
    assert!(long.is_batch_request_too_long());
    let mut twice = batch(&["x"]);
    twice.extend(batch(&["y"]));
    let twice = send(twice).await.expect_err("same id").into_service_error();
    assert!(twice.is_batch_entry_ids_not_distinct());
    client.send_message().queue_url(&url).message_body("x").send().await.expect("send");
    let messages = receive(&client, &url).await;
    let change = || client.change_message_visibility().queue_url(&url).receipt_handle(handle(&messages[0]));
    change().visibility_timeout(0).send().await.expect("return");
    let again = change().visibility_timeout(5).send().await.expect_err("visible").into_service_error();
    assert!(again.is_message_not_inflight());
    client.purge_queue().queue_url(&url).send().await.expect("purge");
    let purged = client.purge_queue().queue_url(&url).send().await.expect_err("again").into_service_error();
    assert!(purged.is_purge_queue_in_progress());
    server.stop().await;
}

/// The response to a request with these headers plus `X-Amz-Target`.
fn ask(address: &str, headers: &str, target: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connect");
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.1\r\n{headers}\r\nX-Amz-Target: {target}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
    .expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    answer
}

#[tokio::test]
async fn browser_pages_cannot_use_the_queues() {
    let server = SqsServer::start(0).await.expect("start");
    let address = server.endpoint_url().trim_start_matches("http://").to_owned();
    let statuses = tokio::task::spawn_blocking(move || {
        [
            "Host: localhost",
            "Host: rebound.example.com",
            "Host: localhost\r\nOrigin: https://example.com",
            "Host: localhost\r\nOrigin: http://localhost:3000",
            "Host: localhost\r\nSec-Fetch-Site: cross-site",
        ]
        .map(|headers| ask(&address, headers, "AmazonSQS.ListQueues", "{}").get(9..12).map(str::to_owned))
    });
    let statuses = statuses.await.expect("answers");
    assert_eq!(statuses.each_ref().map(Option::as_deref), ["200", "403", "403", "403", "403"].map(Some));
    server.stop().await;
}

#[tokio::test]
async fn malformed_requests_return_an_error() {
    let server = SqsServer::start(0).await.expect("start");
    let address = server.endpoint_url().trim_start_matches("http://").to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        [
            ask(&address, "Host: localhost", "AmazonSQS.Nonsense", "{}"),
            ask(&address, "Host: localhost", "AmazonSQS.SendMessage", "no JSON"),
            ask(&address, "Host: localhost", "AmazonSQS.PurgeQueue", ""),
        ]
    });
    let [unknown, malformed, empty] = answer.await.expect("answers");
    assert!(
        unknown.starts_with("HTTP/1.1 400") && unknown.contains("#UnknownOperationException"),
        "{unknown}"
    );
    assert!(malformed.starts_with("HTTP/1.1 400") && malformed.contains("#SerializationException"));
    assert!(empty.contains("x-amzn-query-error: MissingParameter;Sender"), "{empty}");
    server.stop().await;
}

#[tokio::test]
async fn injected_faults_fail_calls_and_then_end() {
    let server = SqsServer::start(0).await.expect("start");
    let client = client(server.endpoint_url());
    let url = queue(&client, "q.fifo").await;
    let send = |body: &'static str| {
        let send = client.send_message().queue_url(&url).message_body(body);
        send.message_group_id("g").message_deduplication_id(body).send()
    };
    server.fail_next(Action::SendMessage, 1, Fault::Unavailable);
    server.fail_next(Action::SendMessage, 1, Fault::Throttled);
    server.fail_next(Action::SendMessage, 1, Fault::AnswerLost);
    let unavailable = send("a").await.expect_err("503");
    assert_eq!(unavailable.raw_response().map(|response| response.status().as_u16()), Some(503));
    assert!(send("b").await.expect_err("throttled").into_service_error().is_request_throttled());
    assert_eq!(code(send("c").await), "InternalFailure");
    send("d").await.expect("works again");
    let view = server.view("q.fifo").expect("the queue");
    let there: Vec<_> = view.messages.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(there, ["c", "d"], "the response was lost, not the message");

    server.fail_next(Action::SendMessageBatch, 1, Fault::Entries(vec![0, 2]));
    let entries = (0..3).map(|id| entry(id, "g", &format!("batch-{id}"))).collect();
    let sent =
        client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send().await.expect("send");
    let failed: Vec<_> = sent.failed().iter().map(|entry| (entry.id(), entry.sender_fault())).collect();
    assert_eq!(failed, [("0", false), ("2", false)]);
    assert_eq!(sent.successful()[0].id(), "1");
    server.fail_next(Action::ListQueues, 1, Fault::Unavailable);
    server.clear_faults();
    client.list_queues().send().await.expect("cleared");
    server.stop().await;
}

#[tokio::test]
async fn viewing_a_queue_changes_nothing() {
    let server = SqsServer::start(0).await.expect("start");
    let client = client(server.endpoint_url());
    let url = queue(&client, "q.fifo").await;
    assert!(server.view("other").is_none());
    server
        .with_broker(|broker, now| broker.send(now, "q.fifo", &NewMessage::fifo("x", "g", "d")))
        .expect("send in process");
    let view = server.view("q.fifo").expect("the queue");
    assert_eq!((view.counts.visible, view.messages[0].state), (1, State::Visible));
    assert_eq!(view.messages[0].group_id.as_deref(), Some("g"));
    let messages = receive(&client, &url).await;
    assert_eq!(bodies(&messages), ["x"]);
    assert_eq!(attribute(&messages[0], &MessageSystemAttributeName::ApproximateReceiveCount), Some("1"));
    assert_eq!(server.view("q.fifo").expect("the queue").counts.in_flight, 1);
    server.stop().await;
}

#[tokio::test]
async fn dead_letter_ends_a_long_poll_on_its_queue() {
    let server = SqsServer::start(0).await.expect("start");
    let client = client(server.endpoint_url());
    let dead = queue(&client, "dead").await;
    let policy =
        format!(r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":1}}"#, local_sqs::queue_arn("dead"));
    let create = client.create_queue().queue_name("q").attributes(QueueAttributeName::RedrivePolicy, policy);
    let create = create.attributes(QueueAttributeName::VisibilityTimeout, "0");
    let url = create.send().await.expect("create").queue_url.expect("a queue URL");
    client.send_message().queue_url(&url).message_body("x").send().await.expect("send");
    assert_eq!(receive(&client, &url).await.len(), 1);
    let poll = client.receive_message().queue_url(&dead).wait_time_seconds(20).send();
    let (polled, received) = tokio::join!(poll, receive(&client, &url));
    assert_eq!(bodies(polled.expect("receive").messages()), ["x"]);
    assert!(received.is_empty());
    server.stop().await;
}

#[tokio::test]
async fn stop_completes_waiting_receives_and_frees_the_port() {
    let server = SqsServer::start(0).await.expect("start");
    let client = client(server.endpoint_url());
    let url = queue(&client, "q").await;
    let port: u16 =
        server.endpoint_url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let poll = tokio::spawn(client.receive_message().queue_url(&url).wait_time_seconds(20).send());
    // A call on another connection gives the poll time to arrive.
    client.list_queues().send().await.expect("list");
    server.stop().await;
    assert!(poll.await.expect("poll").map_or(true, |output| output.messages().is_empty()));
    let again = SqsServer::start(port).await.expect("the port is free");
    drop(again);
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while std::net::TcpListener::bind(("127.0.0.1", port)).is_err() {
        assert!(tokio::time::Instant::now() < deadline, "dropping does not free the port");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

const GROUPS: usize = 50;
const MESSAGES: usize = 10_000;

/// Numbers received by the consumers, by group, in the order of receipt.
type Seen = Arc<Mutex<HashMap<String, Vec<usize>>>>;

async fn consume(client: Client, url: String, seen: Seen, deleted: Arc<AtomicUsize>) {
    while deleted.load(Ordering::SeqCst) < MESSAGES {
        let receive =
            client.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(1);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::MessageGroupId);
        let messages = receive.send().await.expect("receive").messages.unwrap_or_default();
        if messages.is_empty() {
            continue;
        }
        for message in &messages {
            let group = attribute(message, &MessageSystemAttributeName::MessageGroupId).expect("a group");
            let number = message.body().and_then(|body| body.parse().ok()).expect("a number");
            seen.lock().expect("no panic").entry(group.to_owned()).or_default().push(number);
        }
        let entries = messages.iter().enumerate().map(|(id, message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(id.to_string());
            entry.receipt_handle(handle(message)).build().expect("entry")
        });
        let delete = client.delete_message_batch().queue_url(&url).set_entries(Some(entries.collect()));
        let done = delete.send().await.expect("delete").successful().len();
        assert_eq!(done, messages.len());
        deleted.fetch_add(done, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_consumers_receive_every_group_in_order() {
    let server = SqsServer::start(0).await.expect("start");
    let client = client(server.endpoint_url());
    let url = queue(&client, "q.fifo").await;
    // One sender per five groups, which defines the order within a group.
    let senders = (0..10).map(|sender| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            let numbers: Vec<usize> = (0..MESSAGES).filter(|number| number % GROUPS % 10 == sender).collect();
            for chunk in numbers.chunks(10) {
                let entry =
                    |number: &usize| entry(*number, &format!("g{}", number % GROUPS), &number.to_string());
                let send = client.send_message_batch().queue_url(&url);
                let sent =
                    send.set_entries(Some(chunk.iter().map(entry).collect())).send().await.expect("send");
                assert_eq!(sent.successful().len(), chunk.len());
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.expect("sender");
    }
    assert_eq!(server.view("q.fifo").expect("the queue").counts.visible, MESSAGES);
    let (seen, deleted) = (Seen::default(), Arc::new(AtomicUsize::new(0)));
    let consumers =
        (0..8).map(|_| tokio::spawn(consume(client.clone(), url.clone(), seen.clone(), deleted.clone())));
    for consumer in consumers.collect::<Vec<_>>() {
        consumer.await.expect("consumer");
    }
    let seen = std::mem::take(&mut *seen.lock().expect("no panic"));
    assert_eq!(seen.len(), GROUPS);
    for (group, numbers) in &seen {
        assert_eq!(numbers.len(), MESSAGES / GROUPS, "{group}");
        assert!(numbers.is_sorted(), "{group}");
    }
    assert!(server.view("q.fifo").expect("the queue").messages.is_empty());
    server.stop().await;
}
