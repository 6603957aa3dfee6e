//! Dead letters and their redrive.

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System, QueueAttributeName as Name};
use tokio::time::Instant;

use crate::behaviours::{Difference, Target};
use crate::support::{DEADLINE, attribute, bodies, code, receive, receive_some};

fn policy(arn: &str, max_receive_count: u32) -> String {
    format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":{max_receive_count}}}"#)
}

/// Receives from `source`, without ever deleting, until something arrives in `dead`.
async fn dead_letters(target: &Target, source: &str, dead: &str) -> Vec<Message> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        receive(&target.client, source).await;
        let messages = receive(&target.client, dead).await;
        if !messages.is_empty() {
            return messages;
        }
        assert!(Instant::now() < deadline, "no dead letter");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

pub(super) async fn message_over_the_receive_limit_becomes_a_dead_letter(target: &Target) {
    let dead = target.queue(&[]).await;
    let policy = policy(&target.arn(&dead).await, 2);
    let url = target.queue(&[(Name::VisibilityTimeout, "0"), (Name::RedrivePolicy, &policy)]).await;
    let id = target.send(&url, "bad").await;
    for count in ["1", "2"] {
        let messages = receive_some(&target.client, &url).await;
        assert_eq!(attribute(&messages[0], &System::ApproximateReceiveCount), Some(count));
    }
    assert!(receive(&target.client, &dead).await.is_empty(), "not before the third receive");
    let letters = dead_letters(target, &url, &dead).await;
    assert_eq!(bodies(&letters), ["bad"]);
    assert_eq!(letters[0].message_id(), Some(id.as_str()));
    assert!(receive(&target.client, &url).await.is_empty());
}

pub(super) async fn fifo_dead_letter_preserves_ids_and_unlocks_its_group(target: &Target) {
    let dead = target.fifo_queue(&[]).await;
    let policy = policy(&target.arn(&dead).await, 1);
    let url = target.fifo_queue(&[(Name::VisibilityTimeout, "1"), (Name::RedrivePolicy, &policy)]).await;
    let id = target.send_fifo(&url, "g", "bad").await;
    assert_eq!(bodies(&receive(&target.client, &url).await), ["bad"]);
    target.send_fifo(&url, "g", "good").await;
    assert_eq!(bodies(&receive_some(&target.client, &url).await), ["good"]);
    let letters = receive_some(&target.client, &dead).await;
    assert_eq!(bodies(&letters), ["bad"]);
    assert_eq!(letters[0].message_id(), Some(id.as_str()));
    assert_eq!(attribute(&letters[0], &System::MessageGroupId), Some("g"));
    assert_eq!(attribute(&letters[0], &System::MessageDeduplicationId), Some("bad"));
}

pub(super) async fn dead_letter_queue_must_have_the_same_type(target: &Target) {
    let standard = target.queue(&[]).await;
    let policy = policy(&target.arn(&standard).await, 1);
    let url = target.fifo_queue(&[]).await;
    let set = target.client.set_queue_attributes().queue_url(&url).attributes(Name::RedrivePolicy, policy);
    let code = code(set.send().await);
    if target.behaves_as_sqs(Difference::CodeForTypeOfDeadLetterQueue) {
        assert_eq!(code, "InvalidParameterValue");
    }
    if target.behaves_as_sqs(Difference::TypeOfDeadLetterQueue) {
        assert_ne!(code, "no error");
    }
}

pub(super) async fn dead_letters_are_redriven(target: &Target) {
    let dead = target.queue(&[]).await;
    let dead_arn = target.arn(&dead).await;
    let policy = policy(&dead_arn, 1);
    let url = target.queue(&[(Name::VisibilityTimeout, "0"), (Name::RedrivePolicy, &policy)]).await;
    let id = target.send(&url, "x").await;
    assert_eq!(bodies(&receive(&target.client, &url).await), ["x"]);
    assert!(receive(&target.client, &url).await.is_empty(), "moved instead");
    if !target.behaves_as_sqs(Difference::MoveTasks) {
        return;
    }
    let start = target.client.start_message_move_task().source_arn(&dead_arn).send().await.expect("start");
    assert!(start.task_handle().is_some());
    let back = receive_some(&target.client, &url).await;
    assert_eq!(bodies(&back), ["x"]);
    if target.behaves_as_sqs(Difference::RedrivenMessageIsNew) {
        assert_ne!(back[0].message_id(), Some(id.as_str()));
        assert_eq!(attribute(&back[0], &System::ApproximateReceiveCount), Some("1"));
    }
    let tasks = target.client.list_message_move_tasks().source_arn(&dead_arn).send().await.expect("list");
    assert_eq!(tasks.results()[0].status(), Some("COMPLETED"));
    assert_eq!(tasks.results()[0].approximate_number_of_messages_moved(), 1);
    let cancelled = target.client.cancel_message_move_task().task_handle("nonsense").send().await;
    let error = cancelled.expect_err("no such task").into_service_error();
    if target.behaves_as_sqs(Difference::CodeForTaskHandle) {
        assert!(error.is_resource_not_found_exception());
    }
}

pub(super) async fn dead_letter_queue_sources_are_listed(target: &Target) {
    let dead = target.queue(&[]).await;
    let policy = policy(&target.arn(&dead).await, 3);
    let url = target.queue(&[(Name::RedrivePolicy, &policy)]).await;
    let sources = target.client.list_dead_letter_source_queues().queue_url(&dead).send().await;
    assert_eq!(sources.expect("list").queue_urls(), [url]);
}
