//! The event source mapping, between a queue and the test function.
//!
//! `EVENT_SOURCE_TEST_ENDPOINT_URL` selects another SQS endpoint than our own, for example moto's.

use std::collections::HashMap;
use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use local_lambda::{Counters, EventSourceConfig, EventSourceMapping, Logs};
use local_sqs::{Action, Fault, SqsServer};

use crate::support::{Started, eventually, probe, start, until};

struct Queue {
    server: SqsServer,
    client: Client,
    url: String,
}

fn client(endpoint_url: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::from_keys("local", "local", None))
        .endpoint_url(endpoint_url)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

impl Queue {
    async fn create(visibility_timeout: u32) -> Self {
        let server = SqsServer::start(0).await.unwrap();
        let endpoint_url = std::env::var("EVENT_SOURCE_TEST_ENDPOINT_URL")
            .unwrap_or_else(|_| server.endpoint_url().to_owned());
        let client = client(&endpoint_url);
        let url = client
            .create_queue()
            .queue_name(format!("{}.fifo", uuid::Uuid::new_v4()))
            .attributes(QueueAttributeName::FifoQueue, "true")
            .attributes(QueueAttributeName::ContentBasedDeduplication, "true")
            .attributes(QueueAttributeName::VisibilityTimeout, visibility_timeout.to_string())
            .send()
            .await
            .unwrap()
            .queue_url
            .unwrap();
        Self { server, client, url }
    }

    async fn send(&self, group: &str, body: &str) {
        let request = self.client.send_message().queue_url(&self.url).message_group_id(group);
        request.message_body(body).send().await.unwrap();
    }

    /// Number of messages in the queue, visible and in flight.
    async fn counts(&self) -> (String, String) {
        let names = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let attributes =
            request.set_attribute_names(Some(names.to_vec())).send().await.unwrap().attributes.unwrap();
        (attributes[&names[0]].clone(), attributes[&names[1]].clone())
    }

    async fn empty(&self) {
        eventually("the queue to be empty", || async {
            (self.counts().await == ("0".to_owned(), "0".to_owned())).then_some(())
        })
        .await;
    }

    fn map(&self, started: &Started) -> EventSourceConfig {
        let mut config = EventSourceConfig::new(self.client.clone(), &self.url, started.function.clone());
        config.wait_time = Duration::from_secs(1);
        config
    }
}

async fn stop(queue: Queue, mapping: EventSourceMapping, started: Started) {
    mapping.stop().await;
    started.function.stop().await;
    queue.server.stop().await;
}

/// The bodies printed by the test function, by group, in order.
fn bodies(logs: &Logs) -> HashMap<String, Vec<String>> {
    let mut bodies = HashMap::<_, Vec<_>>::new();
    for line in logs.lines() {
        if let Some(line) = line.text.strip_prefix("record ") {
            let mut words = line.split(' ');
            let body = words.next().unwrap().to_owned();
            let group = words.nth(1).unwrap().trim_matches('"').to_owned();
            bodies.entry(group).or_default().push(body);
        }
    }
    bodies
}

#[tokio::test]
async fn messages_are_delivered_in_order_and_deleted() {
    let (queue, started) = (Queue::create(60).await, start(probe("reader")));
    for n in 0..6 {
        for group in ["a", "b", "c"] {
            queue.send(group, &format!("{group}{n}")).await;
        }
    }
    let mapping = EventSourceMapping::start(queue.map(&started));
    until("18 to be deleted", || mapping.counters().deleted == 18).await;
    mapping.idle().await;
    assert_eq!(mapping.in_flight(), 0);
    assert_eq!(mapping.counters(), Counters { received: 18, deleted: 18, returned: 0 });
    queue.empty().await;
    let bodies = bodies(&started.logs);
    for group in ["a", "b", "c"] {
        assert_eq!(bodies[group], (0..6).map(|n| format!("{group}{n}")).collect::<Vec<_>>());
    }
    stop(queue, mapping, started).await;
}

#[tokio::test]
async fn event_matches_the_lambda_format() {
    let (queue, started) = (Queue::create(60).await, start(probe("reader")));
    let text = MessageAttributeValue::builder().data_type("String").string_value("märz").build().unwrap();
    let binary = MessageAttributeValue::builder()
        .data_type("Binary")
        .binary_value(Blob::new([0, 255]))
        .build()
        .unwrap();
    let request =
        queue.client.send_message().queue_url(&queue.url).message_group_id("group").message_body("hello");
    let sent = request
        .message_deduplication_id("once")
        .message_attributes("text", text)
        .message_attributes("binary", binary)
        .send()
        .await
        .unwrap();
    let mapping = EventSourceMapping::start(queue.map(&started));
    let line = eventually("the record", || async {
        started.logs.lines().into_iter().find(|line| line.text.starts_with("record hello"))
    })
    .await;
    let record: serde_json::Value = serde_json::from_str(&line.text[line.text.find('{').unwrap()..]).unwrap();
    assert_eq!(record["eventSource"], "aws:sqs");
    assert_eq!(record["messageAttributes"]["text"]["stringListValues"], serde_json::json!([]));

    let event: SqsEvent = serde_json::from_value(serde_json::json!({ "Records": [record] })).unwrap();
    let record = &event.records[0];
    assert_eq!(record.message_id, sent.message_id);
    assert_eq!(record.body.as_deref(), Some("hello"));
    assert_eq!(record.md5_of_body, sent.md5_of_message_body);
    assert!(!record.receipt_handle.as_deref().unwrap().is_empty());
    assert_eq!(record.aws_region.as_deref(), Some("us-east-1"));
    let name = queue.url.rsplit('/').next().unwrap();
    let arn = record.event_source_arn.as_deref().unwrap();
    assert!(arn.starts_with("arn:aws:sqs:us-east-1:") && arn.ends_with(name), "{arn}");
    assert_eq!(record.attributes["MessageGroupId"], "group");
    assert_eq!(record.attributes["MessageDeduplicationId"], "once");
    assert_eq!(record.attributes["ApproximateReceiveCount"], "1");
    assert!(record.attributes["SentTimestamp"].parse::<u64>().unwrap() > 1_700_000_000_000);
    assert_eq!(record.message_attributes["text"].string_value.as_deref(), Some("märz"));
    assert_eq!(&record.message_attributes["binary"].binary_value.as_ref().unwrap().0[..], [0, 255]);
    stop(queue, mapping, started).await;
}

#[tokio::test]
async fn messages_listed_as_failed_are_redelivered() {
    // Longer than a batch takes on a loaded machine: an undeleted message would be delivered twice.
    let (queue, started) = (Queue::create(5).await, start(probe("reader")));
    for (group, body) in [("a", "fine"), ("b", "fail"), ("c", "good")] {
        queue.send(group, body).await;
    }
    let mapping = EventSourceMapping::start(queue.map(&started));
    until("all to be deleted", || mapping.counters().deleted == 3).await;
    assert_eq!(mapping.counters(), Counters { received: 4, deleted: 3, returned: 1 });
    assert_eq!(bodies(&started.logs)["b"], ["fail", "fail"]);
    queue.empty().await;
    stop(queue, mapping, started).await;
}

/// A body of one megabyte, with a prefix that the test function recognises.
fn large(start: &str) -> String {
    format!("{start}{}", "x".repeat(1_000_000))
}

#[tokio::test]
async fn oversized_batch_is_split_in_order() {
    let (queue, started) = (Queue::create(600).await, start(probe("reader")));
    for n in 0..8 {
        queue.send("a", &large(&n.to_string())).await;
    }
    let mapping = EventSourceMapping::start(queue.map(&started));
    until("all to be deleted", || mapping.counters().deleted == 8).await;
    assert_eq!(mapping.counters(), Counters { received: 8, deleted: 8, returned: 0 });
    let bodies = &bodies(&started.logs)["a"];
    assert_eq!(bodies.iter().map(|body| &body[..1]).collect::<String>(), "01234567");
    queue.empty().await;
    stop(queue, mapping, started).await;
}

#[tokio::test]
async fn failure_after_a_split_blocks_only_its_group() {
    let (queue, started) = (Queue::create(600).await, start(probe("reader")));
    // Six fit, the first six of group a.
    for start in ["0", "fail", "2", "3", "4", "5", "6"] {
        queue.send("a", &large(start)).await;
    }
    queue.send("b", &large("7")).await;
    let mapping = EventSourceMapping::start(queue.map(&started));
    until("two to return", || mapping.counters().returned == 2).await;
    assert_eq!(mapping.counters(), Counters { received: 8, deleted: 6, returned: 2 });
    let bodies = bodies(&started.logs);
    let starts = |group: &str| bodies[group].iter().map(|body| &body[..1]).collect::<String>();
    assert_eq!((starts("a"), starts("b")), ("0f2345".to_owned(), "7".to_owned()));
    stop(queue, mapping, started).await;
}

#[tokio::test]
async fn function_error_or_unknown_id_returns_the_whole_batch() {
    for body in ["error", "garbage"] {
        let (queue, started) = (Queue::create(600).await, start(probe("reader")));
        queue.send("a", "fine").await;
        queue.send("a", body).await;
        let mapping = EventSourceMapping::start(queue.map(&started));
        until("the batch to return", || mapping.counters().returned == 2).await;
        assert_eq!(mapping.counters(), Counters { received: 2, deleted: 0, returned: 2 });
        assert_eq!(queue.counts().await, ("0".to_owned(), "2".to_owned()), "visibility is left alone");
        stop(queue, mapping, started).await;
    }
}

#[tokio::test]
async fn without_partial_responses_the_response_is_ignored() {
    let (queue, started) = (Queue::create(600).await, start(probe("reader")));
    queue.send("a", "fail").await;
    let mut config = queue.map(&started);
    config.report_batch_item_failures = false;
    let mapping = EventSourceMapping::start(config);
    until("it to be deleted", || mapping.counters().deleted == 1).await;
    stop(queue, mapping, started).await;
}

#[tokio::test]
async fn batches_run_concurrently_up_to_the_limit() {
    let (queue, started) = (Queue::create(600).await, start(probe("reader")));
    for group in ["a", "b", "c", "d"] {
        queue.send(group, &format!("block-{group}")).await;
    }
    let mut config = queue.map(&started);
    (config.batch_size, config.maximum_concurrency) = (1, 3);
    let mapping = EventSourceMapping::start(config);
    until("three to be in flight", || bodies(&started.logs).len() == 3).await;
    assert_eq!(mapping.in_flight(), 3);
    assert_eq!(started.function.instance_pids().len(), 3);
    assert_eq!(queue.counts().await, ("1".to_owned(), "3".to_owned()), "the fourth is not received");
    // Batches that do not end are abandoned, and their messages stay in the queue.
    mapping.stop().await;
    started.function.stop().await;
    assert_eq!(queue.counts().await, ("1".to_owned(), "3".to_owned()));
}

#[tokio::test]
async fn failing_queue_is_polled_again() {
    let server = SqsServer::start(0).await.unwrap();
    let started = start(probe("reader"));
    let client = client(server.endpoint_url());
    let url = server.queue_url("later");
    let mut config = EventSourceConfig::new(client.clone(), &url, started.function.clone());
    config.wait_time = Duration::from_secs(1);
    // More than the SDK's own retries; and at first the queue does not exist.
    let mapping = EventSourceMapping::start(config);
    server.fail_next(Action::ReceiveMessage, 4, Fault::Unavailable);
    client.create_queue().queue_name("later").send().await.unwrap();
    client.send_message().queue_url(&url).message_body("fine").send().await.unwrap();
    until("it to be deleted", || mapping.counters().deleted == 1).await;
    // A message whose deletion failed is redelivered.
    server.fail_next(Action::DeleteMessageBatch, 1, Fault::Entries(vec![0]));
    client.send_message().queue_url(&url).message_body("again").send().await.unwrap();
    until("it to stay", || mapping.counters().returned == 1).await;
    assert_eq!(server.view("later").unwrap().messages.len(), 1);
    mapping.stop().await;
    started.function.stop().await;
    server.stop().await;
}
