//! Operations on queues.

use aws_sdk_sqs::types::QueueAttributeName as Name;

use crate::behaviours::{Difference, Target, unique_name};
use crate::support::{bodies, code, handle, receive};

pub(super) async fn queue_is_found_by_name_and_by_prefix(target: &Target) {
    let prefix = format!("{}-found", unique_name());
    let mut urls = Vec::new();
    for suffix in ["-a", "-b"] {
        urls.push(target.named_queue(&format!("{prefix}{suffix}"), &[]).await);
    }
    let found = target.client.get_queue_url().queue_name(format!("{prefix}-a")).send().await.expect("found");
    assert_eq!(found.queue_url(), Some(urls[0].as_str()));
    let listed = target.client.list_queues().queue_name_prefix(&prefix).send().await.expect("list");
    let mut listed = listed.queue_urls.unwrap_or_default();
    listed.sort();
    assert_eq!(listed, urls);
    target.client.delete_queue().queue_url(&urls[0]).send().await.expect("delete");
    let found = target.client.get_queue_url().queue_name(format!("{prefix}-a")).send().await;
    assert!(found.expect_err("deleted").into_service_error().is_queue_does_not_exist());
}

pub(super) async fn creating_a_queue_is_idempotent_unless_it_differs(target: &Target) {
    let name = unique_name();
    let attributes = [(Name::VisibilityTimeout, "45")];
    let url = target.named_queue(&name, &attributes).await;
    assert_eq!(target.named_queue(&name, &attributes).await, url);
    let other = target.client.create_queue().queue_name(&name).attributes(Name::VisibilityTimeout, "46");
    assert!(other.send().await.expect_err("differs").into_service_error().is_queue_name_exists());
}

pub(super) async fn missing_queue_is_reported(target: &Target) {
    let url = target.queue(&[]).await;
    let gone = url.replace("suite-", "missing-");
    let sent = target.client.send_message().queue_url(&gone).message_body("x").send().await;
    assert!(sent.expect_err("missing").into_service_error().is_queue_does_not_exist());
    let received = target.client.receive_message().queue_url(&gone).send().await;
    assert!(received.expect_err("missing").into_service_error().is_queue_does_not_exist());
}

pub(super) async fn attributes_are_stored_and_validated(target: &Target) {
    let url = target.fifo_queue(&[(Name::ContentBasedDeduplication, "true")]).await;
    let set = target.client.set_queue_attributes().queue_url(&url).attributes(Name::VisibilityTimeout, "7");
    set.send().await.expect("set");
    for (name, value) in [
        (Name::VisibilityTimeout, "7"),
        (Name::FifoQueue, "true"),
        (Name::ContentBasedDeduplication, "true"),
        (Name::MessageRetentionPeriod, "345600"),
        (Name::DelaySeconds, "0"),
    ] {
        assert_eq!(target.attribute(&url, name.clone()).await.as_deref(), Some(value), "{name}");
    }
    let name = unique_name();
    if target.behaves_as_sqs(Difference::NumberValidation) {
        let create = target.client.create_queue().queue_name(format!("{name}-sized"));
        let invalid = create.attributes(Name::MaximumMessageSize, "1").send().await;
        assert_eq!(code(invalid), "InvalidAttributeValue");
    }
    let create = target.client.create_queue().queue_name(format!("{name}.wrong"));
    assert_eq!(code(create.send().await), "InvalidParameterValue");
}

pub(super) async fn counts_reflect_message_states(target: &Target) {
    let url = target.queue(&[]).await;
    for body in ["a", "b", "c"] {
        target.send(&url, body).await;
    }
    let delayed = target.client.send_message().queue_url(&url).message_body("d").delay_seconds(900);
    delayed.send().await.expect("send");
    target.client.receive_message().queue_url(&url).send().await.expect("receive");
    for (name, count) in [
        (Name::ApproximateNumberOfMessages, "2"),
        (Name::ApproximateNumberOfMessagesNotVisible, "1"),
        (Name::ApproximateNumberOfMessagesDelayed, "1"),
    ] {
        assert_eq!(target.attribute(&url, name.clone()).await.as_deref(), Some(count), "{name}");
    }
}

pub(super) async fn purging_empties_a_queue(target: &Target) {
    let url = target.queue(&[]).await;
    target.send(&url, "before").await;
    target.client.purge_queue().queue_url(&url).send().await.expect("purge");
    assert!(receive(&target.client, &url).await.is_empty());
    target.send(&url, "after").await;
    let messages = receive(&target.client, &url).await;
    assert_eq!(bodies(&messages), ["after"]);
    target.delete(&url, handle(&messages[0])).await;
}

pub(super) async fn tags_are_stored(target: &Target) {
    let url = target.queue(&[]).await;
    let tag = target.client.tag_queue().queue_url(&url).tags("stage", "test").tags("team", "a");
    tag.send().await.expect("tag");
    target.client.untag_queue().queue_url(&url).tag_keys("team").send().await.expect("untag");
    let tags = target.client.list_queue_tags().queue_url(&url).send().await.expect("list").tags;
    let tags = tags.unwrap_or_default();
    assert_eq!((tags.len(), tags.get("stage").map(String::as_str)), (1, Some("test")));
}
