//! Batches.

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry,
};

use crate::behaviours::{Difference, Target};
use crate::support::{bodies, code, handle, receive};

fn entry(id: &str, body: &str) -> SendMessageBatchRequestEntry {
    SendMessageBatchRequestEntry::builder().id(id).message_body(body).build().expect("entry")
}

pub(super) async fn batch_is_sent_received_and_deleted(target: &Target) {
    let url = target.queue(&[]).await;
    let entries = (0..10).map(|number| entry(&format!("e{number}"), &format!("body {number}"))).collect();
    let sent = target.client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send().await;
    let sent = sent.expect("send");
    assert_eq!((sent.successful().len(), sent.failed().len()), (10, 0));
    let ids: Vec<_> = sent.successful().iter().map(|entry| entry.id().to_owned()).collect();
    assert_eq!(ids, (0..10).map(|number| format!("e{number}")).collect::<Vec<_>>());
    let messages = receive(&target.client, &url).await;
    assert_eq!(messages.len(), 10);
    let entries = messages.iter().enumerate().map(|(number, message)| {
        let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
        entry.receipt_handle(handle(message)).build().expect("entry")
    });
    let delete = target.client.delete_message_batch().queue_url(&url).set_entries(Some(entries.collect()));
    let deleted = delete.send().await.expect("delete");
    assert_eq!((deleted.successful().len(), deleted.failed().len()), (10, 0));
}

pub(super) async fn invalid_batch_is_rejected(target: &Target) {
    let url = target.queue(&[]).await;
    let send = |entries| target.client.send_message_batch().queue_url(&url).set_entries(Some(entries)).send();
    assert_eq!(code(send(vec![]).await), "EmptyBatchRequest");
    let eleven = (0..11).map(|number| entry(&number.to_string(), "x")).collect();
    assert_eq!(code(send(eleven).await), "TooManyEntriesInBatchRequest");
    assert_eq!(code(send(vec![entry("a", "x"), entry("a", "y")]).await), "BatchEntryIdsNotDistinct");
    let half = "x".repeat(600_000);
    assert_eq!(code(send(vec![entry("a", &half), entry("b", &half)]).await), "BatchRequestTooLong");
    assert_eq!(code(send(vec![entry("not an id", "x")]).await), "InvalidBatchEntryId");
    assert!(receive(&target.client, &url).await.is_empty(), "none of these was sent");
}

pub(super) async fn failed_batch_entry_does_not_stop_the_others(target: &Target) {
    let url = target.queue(&[]).await;
    target.send(&url, "x").await;
    let messages = receive(&target.client, &url).await;
    let entry = |id: &str, handle: &str| {
        DeleteMessageBatchRequestEntry::builder().id(id).receipt_handle(handle).build().expect("entry")
    };
    let delete = target.client.delete_message_batch().queue_url(&url);
    let delete = delete.entries(entry("bad", "nonsense")).entries(entry("good", handle(&messages[0])));
    let deleted = delete.send().await.expect("delete");
    assert_eq!(deleted.successful().iter().map(|entry| entry.id()).collect::<Vec<_>>(), ["good"]);
    let failed = &deleted.failed()[0];
    assert_eq!((failed.id(), failed.code()), ("bad", "ReceiptHandleIsInvalid"));
    if target.behaves_as_sqs(Difference::SenderFault) {
        assert!(failed.sender_fault());
    }
}

pub(super) async fn visibility_changes_in_batches(target: &Target) {
    let url = target.queue(&[]).await;
    target.send(&url, "x").await;
    let messages = receive(&target.client, &url).await;
    let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id("a").visibility_timeout(0);
    let entry = entry.receipt_handle(handle(&messages[0])).build().expect("entry");
    let change = target.client.change_message_visibility_batch().queue_url(&url).entries(entry);
    assert_eq!(change.send().await.expect("change").successful().len(), 1);
    assert_eq!(bodies(&receive(&target.client, &url).await), ["x"]);
}
