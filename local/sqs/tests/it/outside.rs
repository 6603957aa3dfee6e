//! Operations on a running server outside the protocol: fault injection, skipping waits, change notification.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use local_sqs::{Action, Fault, Skip, SqsServer};

use crate::support::{attribute, bodies, client, code, handle, receive};

async fn queue(client: &Client, name: &str) -> String {
    let mut create = client.create_queue().queue_name(name);
    if name.ends_with(".fifo") {
        create = create.attributes(QueueAttributeName::FifoQueue, "true");
    }
    create.send().await.expect("create").queue_url.expect("a queue URL")
}

#[tokio::test]
async fn every_call_of_an_action_fails_until_cleared() {
    let server = SqsServer::start(0).await.expect("start");
    let client = client(server.endpoint_url());
    let url = queue(&client, "q").await;
    let send = || client.send_message().queue_url(&url).message_body("x").send();
    server.fail_always(Action::SendMessage, Some(Fault::Unavailable));
    for _ in 0..2 {
        assert_eq!(code(send().await), "ServiceUnavailable");
    }
    server.fail_always(Action::SendMessage, None);
    send().await.expect("sent");
    server.stop().await;
}

#[tokio::test]
async fn skip_makes_in_flight_messages_visible_with_a_set_count() {
    let server = SqsServer::start(0).await.expect("start");
    let client = client(server.endpoint_url());
    let url = queue(&client, "q.fifo").await;
    for group in ["later", "in-hand", "lost"] {
        let send = client.send_message().queue_url(&url).message_body(group);
        send.message_group_id(group).message_deduplication_id(group).send().await.expect("sent");
    }
    let received = receive(&client, &url).await;
    let later = received.iter().find(|message| message.body() == Some("later")).expect("received");
    let change = client.change_message_visibility().queue_url(&url).receipt_handle(handle(later));
    change.visibility_timeout(900).send().await.expect("changed");
    let skip = |skip: Skip| server.with_broker(|broker, now| broker.skip_waits(now, "q.fifo", &skip));

    assert_eq!(skip(Skip { receives: 49, ..Skip::default() }), Ok(1));
    let again = client.receive_message().queue_url(&url).max_number_of_messages(10);
    let again = again.message_system_attribute_names(MessageSystemAttributeName::All).send().await;
    let again = again.expect("received").messages.unwrap_or_default();
    assert_eq!(bodies(&again), ["later"]);
    assert_eq!(attribute(&again[0], &MessageSystemAttributeName::ApproximateReceiveCount), Some("50"));
    // The handle of the first receive has expired.
    let late = client.change_message_visibility().queue_url(&url).receipt_handle(handle(later));
    late.visibility_timeout(0).send().await.expect_err("expired");

    assert_eq!(skip(Skip::default()), Ok(0));
    let now = server.with_broker(|_, now| now.plus(Duration::from_secs(1)));
    assert_eq!(skip(Skip { lost_before: Some(now), ..Skip::default() }), Ok(3));
    server.stop().await;
}

#[tokio::test]
async fn observers_are_notified_of_changes_and_cause_none() {
    let server = SqsServer::start(0).await.expect("start");
    let client = client(server.endpoint_url());
    let url = queue(&client, "q").await;
    let mut changes = server.changes();
    let mut changed = async || {
        let changed = changes.has_changed().expect("it runs");
        changes.mark_unchanged();
        changed
    };
    assert!(!changed().await);
    assert!(server.view("q").is_some() && server.view("missing").is_none());
    assert!(!changed().await, "looking");
    client.send_message().queue_url(&url).message_body("x").send().await.expect("sent");
    assert!(changed().await, "sent");
    let received = receive(&client, &url).await;
    assert!(changed().await, "received");
    client
        .delete_message()
        .queue_url(&url)
        .receipt_handle(handle(&received[0]))
        .send()
        .await
        .expect("deleted");
    assert!(changed().await, "deleted");
    server.stop().await;
}
