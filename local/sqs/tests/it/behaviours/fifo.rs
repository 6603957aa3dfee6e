//! FIFO queues.

use aws_sdk_sqs::types::{MessageSystemAttributeName as System, QueueAttributeName as Name};

use crate::behaviours::{Difference, Target};
use crate::support::{attribute, bodies, code, handle, receive, receive_some};

pub(super) async fn group_is_received_in_order(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    let sent: Vec<String> = (0..12).map(|number| format!("{number:02}")).collect();
    for body in &sent {
        target.send_fifo(&url, "g", body).await;
    }
    let first = receive(&target.client, &url).await;
    assert_eq!(bodies(&first), &sent[..10]);
    assert_eq!(attribute(&first[0], &System::MessageGroupId), Some("g"));
    assert_eq!(attribute(&first[0], &System::MessageDeduplicationId), Some("00"));
    for message in &first {
        target.delete(&url, handle(message)).await;
    }
    assert_eq!(bodies(&receive(&target.client, &url).await), &sent[10..]);
}

pub(super) async fn group_in_flight_is_locked_and_others_are_not(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    target.send_fifo(&url, "a", "a1").await;
    let first = receive(&target.client, &url).await;
    assert_eq!(bodies(&first), ["a1"]);
    target.send_fifo(&url, "a", "a2").await;
    target.send_fifo(&url, "b", "b1").await;
    assert_eq!(bodies(&receive(&target.client, &url).await), ["b1"]);
    target.delete(&url, handle(&first[0])).await;
    assert_eq!(bodies(&receive(&target.client, &url).await), ["a2"]);
}

pub(super) async fn returned_message_precedes_later_ones(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    for body in ["1", "2"] {
        target.send_fifo(&url, "g", body).await;
    }
    let one = target.client.receive_message().queue_url(&url).max_number_of_messages(1).send().await;
    let one = one.expect("receive");
    assert_eq!(bodies(one.messages()), ["1"]);
    assert!(receive(&target.client, &url).await.is_empty());
    let change = target.client.change_message_visibility().queue_url(&url).visibility_timeout(0);
    change.receipt_handle(handle(&one.messages()[0])).send().await.expect("return");
    let again = receive(&target.client, &url).await;
    assert_eq!(bodies(&again), ["1", "2"]);
    let counts: Vec<_> = again.iter().map(|m| attribute(m, &System::ApproximateReceiveCount)).collect();
    assert_eq!(counts, [Some("2"), Some("1")]);
}

pub(super) async fn duplicate_enqueues_nothing(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    let first = target.send_fifo(&url, "g", "same").await;
    let second = target.send_fifo(&url, "g", "same").await;
    let messages = receive(&target.client, &url).await;
    assert_eq!(bodies(&messages), ["same"]);
    target.delete(&url, handle(&messages[0])).await;
    if target.behaves_as_sqs(Difference::DuplicatesOfDeletedMessages) {
        assert_eq!(second, first);
        assert_eq!(target.send_fifo(&url, "g", "same").await, first);
        assert!(receive(&target.client, &url).await.is_empty(), "the window outlives the message");
    }
}

pub(super) async fn equal_bodies_are_duplicates_with_content_based_deduplication(target: &Target) {
    let url = target.fifo_queue(&[(Name::ContentBasedDeduplication, "true")]).await;
    for (body, id) in [("x", None), ("x", None), ("y", None), ("x", Some("own"))] {
        let send = target.client.send_message().queue_url(&url).message_body(body).message_group_id("g");
        send.set_message_deduplication_id(id.map(str::to_owned)).send().await.expect("send");
    }
    let messages = receive(&target.client, &url).await;
    assert_eq!(bodies(&messages), ["x", "y", "x"]);
    let digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
    assert_eq!(attribute(&messages[0], &System::MessageDeduplicationId), Some(digest));
}

pub(super) async fn group_and_deduplication_ids_are_required(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    let send = || target.client.send_message().queue_url(&url).message_body("x");
    assert_eq!(code(send().message_deduplication_id("d").send().await), "MissingParameter");
    assert_eq!(code(send().message_group_id("g").send().await), "InvalidParameterValue");
    let delayed = send().message_group_id("g").message_deduplication_id("d").delay_seconds(5);
    assert_eq!(code(delayed.send().await), "InvalidParameterValue");
    if target.behaves_as_sqs(Difference::StringValidation) {
        for id in ["with space".to_owned(), "x".repeat(129)] {
            let sent = send().message_group_id(&id).message_deduplication_id("d").send().await;
            assert_eq!(code(sent), "InvalidParameterValue");
            let sent = send().message_group_id("g").message_deduplication_id(&id).send().await;
            assert_eq!(code(sent), "InvalidParameterValue");
        }
    }
}

pub(super) async fn sequence_numbers_grow(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    let mut numbers = Vec::new();
    for body in ["1", "2"] {
        let send = target.client.send_message().queue_url(&url).message_body(body).message_group_id("g");
        let sent = send.message_deduplication_id(body).send().await.expect("send");
        numbers.extend(sent.sequence_number);
    }
    if target.behaves_as_sqs(Difference::SequenceNumberGrows) {
        assert!(numbers.len() == 2 && numbers.is_sorted() && numbers[0] != numbers[1], "{numbers:?}");
        let messages = receive(&target.client, &url).await;
        assert_eq!(attribute(&messages[0], &System::SequenceNumber), Some(numbers[0].as_str()));
    }
}

pub(super) async fn expired_handle_is_rejected(target: &Target) {
    let url = target.fifo_queue(&[(Name::VisibilityTimeout, "1")]).await;
    target.send_fifo(&url, "g", "x").await;
    let first = receive(&target.client, &url).await;
    let second = receive_some(&target.client, &url).await;
    if target.behaves_as_sqs(Difference::ExpiredHandleOfFifoQueue) {
        let old = handle(&first[0]);
        let deleted = target.client.delete_message().queue_url(&url).receipt_handle(old).send().await;
        assert_eq!(code(deleted), "InvalidParameterValue");
        let change = target.client.change_message_visibility().queue_url(&url).receipt_handle(old);
        assert_eq!(code(change.visibility_timeout(5).send().await), "InvalidParameterValue");
    }
    assert_eq!(attribute(&second[0], &System::ApproximateReceiveCount), Some("2"));
}
