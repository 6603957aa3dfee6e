//! Single messages on standard queues.

use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    MessageAttributeValue, MessageSystemAttributeName as System, QueueAttributeName as Name,
};
use tokio::time::Instant;

use crate::behaviours::{Difference, Target};
use crate::support::{DEADLINE, attribute, bodies, code, handle, receive, receive_some};

const ONE_SECOND: [(Name, &str); 1] = [(Name::VisibilityTimeout, "1")];

pub(super) async fn message_is_received_with_digest_and_deleted(target: &Target) {
    let url = target.queue(&[]).await;
    let sent = target.client.send_message().queue_url(&url).message_body("hello").send().await.expect("send");
    assert_eq!(sent.md5_of_message_body(), Some("5d41402abc4b2a76b9719d911017c592"));
    assert_eq!(sent.sequence_number(), None);
    let messages = receive(&target.client, &url).await;
    assert_eq!(bodies(&messages), ["hello"]);
    assert_eq!(messages[0].md5_of_body(), sent.md5_of_message_body());
    assert_eq!(messages[0].message_id(), sent.message_id());
    assert!(receive(&target.client, &url).await.is_empty(), "in flight");
    target.delete(&url, handle(&messages[0])).await;
    let left = target.attribute(&url, Name::ApproximateNumberOfMessagesNotVisible).await;
    assert_eq!(left.as_deref(), Some("0"));
    target.delete(&url, handle(&messages[0])).await; // deleting is idempotent
}

pub(super) async fn message_attributes_are_received_with_their_digest(target: &Target) {
    let url = target.queue(&[]).await;
    let value = |kind: &str| MessageAttributeValue::builder().data_type(kind);
    let timestamp = value("Number.java.lang.Long").string_value("1493147359900").build().expect("value");
    let bytes = value("Binary").binary_value(Blob::new([0, 1, 255])).build().expect("value");
    let send = target.client.send_message().queue_url(&url).message_body("x");
    let sent = send.message_attributes("timestamp", timestamp).message_attributes("bytes", bytes.clone());
    let sent = sent.send().await.expect("send");
    let messages = receive(&target.client, &url).await;
    let attributes = messages[0].message_attributes().expect("attributes");
    assert_eq!(attributes.len(), 2);
    assert_eq!(attributes.get("bytes"), Some(&bytes));
    assert_eq!(messages[0].md5_of_message_attributes(), sent.md5_of_message_attributes());
    // MD5 over both, sorted by name, as the developer guide describes it.
    assert_eq!(sent.md5_of_message_attributes(), Some("a9f0cb2b77e84b26b7f3c94a1cb3792d"));
}

pub(super) async fn system_attributes_are_returned_on_request(target: &Target) {
    let url = target.queue(&[]).await;
    target.send(&url, "x").await;
    let messages = receive(&target.client, &url).await;
    let number = |name: System| attribute(&messages[0], &name).and_then(|text| text.parse::<u64>().ok());
    let sent_at = number(System::SentTimestamp).expect("sent");
    let received_at = number(System::ApproximateFirstReceiveTimestamp).expect("received");
    assert!(sent_at > 1_600_000_000_000 && received_at >= sent_at, "milliseconds, in this order");
    assert_eq!(number(System::ApproximateReceiveCount), Some(1));
    assert!(attribute(&messages[0], &System::SenderId).is_some());
    assert_eq!(attribute(&messages[0], &System::MessageGroupId), None);
    target.send(&url, "y").await;
    let plain = target.client.receive_message().queue_url(&url).send().await.expect("receive");
    assert!(plain.messages()[0].attributes().is_none_or(std::collections::HashMap::is_empty));
}

pub(super) async fn undeleted_message_is_redelivered(target: &Target) {
    let url = target.queue(&ONE_SECOND).await;
    target.send(&url, "x").await;
    let first = receive(&target.client, &url).await;
    let second = receive_some(&target.client, &url).await;
    assert_eq!(first[0].message_id(), second[0].message_id());
    assert_ne!(first[0].receipt_handle(), second[0].receipt_handle());
    assert_eq!(attribute(&second[0], &System::ApproximateReceiveCount), Some("2"));
}

pub(super) async fn visibility_timeout_of_zero_makes_a_message_visible(target: &Target) {
    let url = target.queue(&[]).await;
    target.send(&url, "x").await;
    let messages = receive(&target.client, &url).await;
    let change = target.client.change_message_visibility().queue_url(&url).visibility_timeout(0);
    change.receipt_handle(handle(&messages[0])).send().await.expect("return");
    assert_eq!(bodies(&receive(&target.client, &url).await), ["x"]);
}

pub(super) async fn visibility_timeout_can_be_extended(target: &Target) {
    // Long enough to be extended in time on a loaded machine.
    let url = target.queue(&[(Name::VisibilityTimeout, "3")]).await;
    target.send(&url, "held").await;
    let messages = receive(&target.client, &url).await;
    let change = target.client.change_message_visibility().queue_url(&url).visibility_timeout(60);
    change.receipt_handle(handle(&messages[0])).send().await.expect("extend");
    // A second message with the original timeout proves that the timeout has passed.
    target.send(&url, "clock").await;
    assert_eq!(bodies(&receive(&target.client, &url).await), ["clock"]);
    assert_eq!(bodies(&receive_some(&target.client, &url).await), ["clock"]);
}

pub(super) async fn long_poll_ends_when_a_message_is_sent(target: &Target) {
    let url = target.queue(&[]).await;
    let started = Instant::now();
    let poll = target.client.receive_message().queue_url(&url).wait_time_seconds(20).send();
    let send = async {
        // One round trip, during which the poll arrives.
        target.attribute(&url, Name::ApproximateNumberOfMessages).await;
        target.send(&url, "x").await;
    };
    let (received, ()) = tokio::join!(poll, send);
    assert_eq!(bodies(received.expect("receive").messages()), ["x"]);
    assert!(started.elapsed() < DEADLINE, "not only at the end of the wait time");
    let empty = target.client.receive_message().queue_url(&url).wait_time_seconds(1).send().await;
    assert!(empty.expect("receive").messages().is_empty());
}

pub(super) async fn long_poll_ends_when_a_message_becomes_visible(target: &Target) {
    let url = target.queue(&ONE_SECOND).await;
    target.send(&url, "x").await;
    receive(&target.client, &url).await;
    let again = target.client.receive_message().queue_url(&url).wait_time_seconds(20).send().await;
    assert_eq!(bodies(again.expect("receive").messages()), ["x"]);
}

pub(super) async fn delayed_message_is_not_visible_yet(target: &Target) {
    let url = target.queue(&[]).await;
    let send = target.client.send_message().queue_url(&url).message_body("later").delay_seconds(3);
    send.send().await.expect("send");
    target.send(&url, "now").await;
    assert_eq!(bodies(&receive(&target.client, &url).await), ["now"]);
    assert_eq!(bodies(&receive_some(&target.client, &url).await), ["later"]);
}

pub(super) async fn messages_out_of_bounds_are_rejected(target: &Target) {
    let url = target.queue(&[(Name::MaximumMessageSize, "1024")]).await;
    let send = |body: String| target.client.send_message().queue_url(&url).message_body(body).send();
    send("x".repeat(1024)).await.expect("just fits");
    assert_eq!(code(send("x".repeat(1025)).await), "InvalidParameterValue");
    if target.behaves_as_sqs(Difference::NumberValidation) {
        let late = target.client.send_message().queue_url(&url).message_body("x").delay_seconds(901);
        assert_eq!(code(late.send().await), "InvalidParameterValue");
    }
    let many = target.client.receive_message().queue_url(&url).max_number_of_messages(11);
    assert_eq!(code(many.send().await), "InvalidParameterValue");
    let long = target.client.receive_message().queue_url(&url).wait_time_seconds(21);
    assert_eq!(code(long.send().await), "InvalidParameterValue");
    if target.behaves_as_sqs(Difference::StringValidation) {
        assert_eq!(code(send(String::new()).await), "MissingParameter");
        let control = send("\u{1}".to_owned()).await.expect_err("control character").into_service_error();
        assert!(control.is_invalid_message_contents());
    }
}

pub(super) async fn invalid_receipt_handle_is_rejected(target: &Target) {
    let url = target.queue(&[]).await;
    let deleted = target.client.delete_message().queue_url(&url).receipt_handle("nonsense").send().await;
    assert!(deleted.expect_err("nonsense").into_service_error().is_receipt_handle_is_invalid());
    let change = target.client.change_message_visibility().queue_url(&url).receipt_handle("nonsense");
    let changed = change.visibility_timeout(1).send().await;
    assert!(changed.expect_err("nonsense").into_service_error().is_receipt_handle_is_invalid());
}

pub(super) async fn standard_queue_deletes_by_an_old_handle(target: &Target) {
    let url = target.queue(&ONE_SECOND).await;
    target.send(&url, "x").await;
    let first = receive(&target.client, &url).await;
    receive_some(&target.client, &url).await;
    target.delete(&url, handle(&first[0])).await;
    for name in [Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesNotVisible] {
        assert_eq!(target.attribute(&url, name).await.as_deref(), Some("0"));
    }
}
