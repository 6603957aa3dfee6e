//! A consumer that holds a message group: it receives messages, hides them for a time with `ChangeMessageVisibility`
//! instead of deleting them, and receives them again, together and in order.
//!
//! A group is received up to its first hidden message. To return together, the messages behind the first one must be
//! visible before it: hidden earlier for the same time, for a shorter time, or not at all.

use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as System};
use tokio::time::Instant;

use crate::behaviours::{Difference, Target};
use crate::support::{attribute, bodies, handle, receive, receive_some};

/// Longer than any test runs, in seconds.
const LONG: i32 = 300;

/// Hides messages for a number of seconds from now, the last one first.
async fn hold(target: &Target, queue_url: &str, messages: &[Message], seconds: i32) {
    for message in messages.iter().rev() {
        let change =
            target.client.change_message_visibility().queue_url(queue_url).visibility_timeout(seconds);
        change.receipt_handle(handle(message)).send().await.expect("change");
    }
}

/// Sends messages of one group.
async fn send_all(target: &Target, queue_url: &str, group: &str, bodies: &[&str]) {
    for body in bodies {
        target.send_fifo(queue_url, group, body).await;
    }
}

fn counts(messages: &[Message]) -> Vec<&str> {
    messages.iter().filter_map(|message| attribute(message, &System::ApproximateReceiveCount)).collect()
}

/// Receives until there is a message, which must not be before `seconds` since `start`.
async fn receive_not_before(target: &Target, queue_url: &str, start: Instant, seconds: u64) -> Vec<Message> {
    let messages = receive_some(&target.client, queue_url).await;
    // Queues have timestamps in milliseconds.
    let earliest = Duration::from_secs(seconds) - Duration::from_millis(2);
    assert!(start.elapsed() >= earliest, "received {:?} after {:?}", bodies(&messages), start.elapsed());
    messages
}

pub(super) async fn held_group_is_locked_and_others_are_not(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    send_all(target, &url, "a", &["a1", "a2"]).await;
    let held = receive(&target.client, &url).await;
    assert_eq!(bodies(&held), ["a1", "a2"]);
    hold(target, &url, &held, LONG).await;
    send_all(target, &url, "b", &["b1"]).await;
    assert_eq!(bodies(&receive(&target.client, &url).await), ["b1"]);
    send_all(target, &url, "a", &["a3"]).await;
    send_all(target, &url, "c", &["c1"]).await;
    assert_eq!(bodies(&receive(&target.client, &url).await), ["c1"]);
    assert!(receive(&target.client, &url).await.is_empty());
}

pub(super) async fn held_group_returns_together_with_a_later_message(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    send_all(target, &url, "g", &["1", "2"]).await;
    let held = receive(&target.client, &url).await;
    assert_eq!(bodies(&held), ["1", "2"]);
    let start = Instant::now();
    hold(target, &url, &held, 1).await;
    send_all(target, &url, "g", &["3"]).await;
    let again = receive_not_before(target, &url, start, 1).await;
    if target.behaves_as_sqs(Difference::ExpiredMessagesReturnTogether) {
        assert_eq!(bodies(&again), ["1", "2", "3"]);
        assert_eq!(counts(&again), ["2", "2", "1"]);
    }
}

pub(super) async fn ten_messages_of_a_held_group_return_before_the_rest(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    let sent = ["01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12"];
    send_all(target, &url, "g", &sent[..8]).await;
    let held = receive(&target.client, &url).await;
    assert_eq!(bodies(&held), sent[..8]);
    let start = Instant::now();
    hold(target, &url, &held, 1).await;
    send_all(target, &url, "g", &sent[8..]).await;
    let again = receive_not_before(target, &url, start, 1).await;
    if target.behaves_as_sqs(Difference::ExpiredMessagesReturnTogether) {
        assert_eq!(bodies(&again), sent[..10]);
        assert_eq!(counts(&again), ["2", "2", "2", "2", "2", "2", "2", "2", "1", "1"]);
        assert!(receive(&target.client, &url).await.is_empty(), "the group is locked again");
        for message in &again {
            target.delete(&url, handle(message)).await;
        }
        let rest = receive(&target.client, &url).await;
        assert_eq!(bodies(&rest), sent[10..]);
        assert_eq!(counts(&rest), ["1", "1"]);
    }
}

pub(super) async fn shorter_hold_of_a_later_message_overtakes_nothing(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    send_all(target, &url, "g", &["1", "2", "3"]).await;
    let held = receive(&target.client, &url).await;
    assert_eq!(bodies(&held), ["1", "2", "3"]);
    hold(target, &url, &held[1..], 1).await;
    let start = Instant::now();
    hold(target, &url, &held[..1], 2).await;
    if target.behaves_as_sqs(Difference::ExpiredMessagesReturnTogether) {
        let again = receive_not_before(target, &url, start, 2).await;
        assert_eq!(bodies(&again), ["1", "2", "3"]);
        assert_eq!(counts(&again), ["2", "2", "2"]);
    }
}

pub(super) async fn hidden_first_message_holds_its_group(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    send_all(target, &url, "g", &["1", "2"]).await;
    let held = receive(&target.client, &url).await;
    assert_eq!(bodies(&held), ["1", "2"]);
    let start = Instant::now();
    hold(target, &url, &held[..1], 1).await;
    hold(target, &url, &held[1..], 0).await;
    send_all(target, &url, "g", &["3"]).await;
    if target.behaves_as_sqs(Difference::HiddenMessageBlocksLaterOnes) {
        let again = receive_not_before(target, &url, start, 1).await;
        assert_eq!(bodies(&again), ["1", "2", "3"]);
        assert_eq!(counts(&again), ["2", "2", "1"]);
    }
}

pub(super) async fn group_returns_up_to_its_first_hidden_message(target: &Target) {
    let url = target.fifo_queue(&[]).await;
    send_all(target, &url, "g", &["1", "2"]).await;
    let held = receive(&target.client, &url).await;
    assert_eq!(bodies(&held), ["1", "2"]);
    hold(target, &url, &held[1..], LONG).await;
    hold(target, &url, &held[..1], 0).await;
    if target.behaves_as_sqs(Difference::HiddenMessageBlocksLaterOnes) {
        send_all(target, &url, "g", &["3"]).await;
    }
    let again = receive(&target.client, &url).await;
    if target.behaves_as_sqs(Difference::GroupReturnsUpToTheFirstHidden) {
        assert_eq!(bodies(&again), ["1"]);
        assert!(receive(&target.client, &url).await.is_empty(), "the group is locked again");
    }
}
