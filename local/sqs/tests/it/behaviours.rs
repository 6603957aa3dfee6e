//! One suite of queue behaviours, through the real SDK, against our queue and, when `QUEUE_SUITE_ENDPOINT` is
//! set, against another implementation (moto, for example): both must agree.

mod batches;
mod dead_letters;
mod fifo;
mod messages;
mod queues;

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;

/// An endpoint under test.
struct Target {
    client: Client,
    ours: bool,
}

/// Known differences between moto 5.2 and SQS. All of them are listed here.
#[derive(Clone, Copy, PartialEq)]
enum Difference {
    /// Deletes by an expired receipt handle of a FIFO queue; SQS refuses.
    ExpiredHandleOfFifoQueue,
    /// Returns `InvalidParameterCombination` for a dead-letter queue of the wrong type.
    CodeForTypeOfDeadLetterQueue,
    /// Sequence numbers are random; those of SQS grow.
    SequenceNumberGrows,
    /// Accepts empty bodies and any characters in bodies, group ids and deduplication ids.
    StringValidation,
    /// Returns a new message id for a duplicate, and recognises only duplicates of messages in the queue.
    DuplicatesOfDeletedMessages,
    /// The actions of move tasks are not supported.
    MoveTasks,
}

impl Target {
    /// Whether the endpoint is expected to behave as SQS does: ours always, another one except for its known
    /// differences. Nothing else in the suite may depend on the endpoint.
    fn behaves_as_sqs(&self, difference: Difference) -> bool {
        use Difference as D;
        let known = [
            D::ExpiredHandleOfFifoQueue,
            D::CodeForTypeOfDeadLetterQueue,
            D::SequenceNumberGrows,
            D::StringValidation,
            D::DuplicatesOfDeletedMessages,
            D::MoveTasks,
        ];
        self.ours || !known.contains(&difference)
    }

    /// A new queue with a visibility timeout of 30 s, unless set in `attributes`; its URL.
    async fn queue(&self, attributes: &[(QueueAttributeName, &str)]) -> String {
        self.named_queue(&unique_name(), attributes).await
    }

    /// The same as a FIFO queue.
    async fn fifo_queue(&self, attributes: &[(QueueAttributeName, &str)]) -> String {
        let mut attributes = attributes.to_vec();
        attributes.push((QueueAttributeName::FifoQueue, "true"));
        self.named_queue(&format!("{}.fifo", unique_name()), &attributes).await
    }

    async fn named_queue(&self, name: &str, attributes: &[(QueueAttributeName, &str)]) -> String {
        let attributes = attributes.iter().map(|(name, value)| (name.clone(), (*value).to_owned())).collect();
        let created =
            self.client.create_queue().queue_name(name).set_attributes(Some(attributes)).send().await;
        created.expect("create").queue_url.expect("a queue URL")
    }

    async fn attribute(&self, queue_url: &str, name: QueueAttributeName) -> Option<String> {
        let got =
            self.client.get_queue_attributes().queue_url(queue_url).attribute_names(name.clone()).send();
        got.await.expect("attributes").attributes.and_then(|mut attributes| attributes.remove(&name))
    }

    async fn arn(&self, queue_url: &str) -> String {
        self.attribute(queue_url, QueueAttributeName::QueueArn).await.expect("an ARN")
    }

    async fn send(&self, queue_url: &str, body: &str) -> String {
        let sent = self.client.send_message().queue_url(queue_url).message_body(body).send().await;
        sent.expect("send").message_id.expect("a message id")
    }

    /// The body is also the deduplication id.
    async fn send_fifo(&self, queue_url: &str, group: &str, body: &str) -> String {
        let send = self.client.send_message().queue_url(queue_url).message_body(body);
        let sent = send.message_group_id(group).message_deduplication_id(body).send().await;
        sent.expect("send").message_id.expect("a message id")
    }

    async fn delete(&self, queue_url: &str, receipt_handle: &str) {
        let delete = self.client.delete_message().queue_url(queue_url).receipt_handle(receipt_handle);
        delete.send().await.expect("delete");
    }
}

/// The other endpoint may still have the queues of earlier runs.
fn unique_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let run = std::process::id();
    format!("suite-{run}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Generates two tests per behaviour.
macro_rules! behaviours {
    ($($module:ident: $($name:ident)*;)*) => {
        mod ours {
            $($(
                #[tokio::test]
                async fn $name() {
                    let server = local_sqs::SqsServer::start(0).await.expect("start");
                    let client = crate::support::client(server.endpoint_url());
                    super::$module::$name(&super::Target { client, ours: true }).await;
                    server.stop().await;
                }
            )*)*
        }

        /// These pass without any check if there is no other endpoint.
        mod other_endpoint {
            $($(
                #[tokio::test]
                async fn $name() {
                    if let Ok(endpoint) = std::env::var("QUEUE_SUITE_ENDPOINT") {
                        let client = crate::support::client(&endpoint);
                        super::$module::$name(&super::Target { client, ours: false }).await;
                    }
                }
            )*)*
        }
    };
}

behaviours! {
    queues:
        queue_is_found_by_name_and_by_prefix
        creating_a_queue_is_idempotent_unless_it_differs
        missing_queue_is_reported
        attributes_are_stored_and_validated
        counts_reflect_message_states
        purging_empties_a_queue
        tags_are_stored;
    messages:
        message_is_received_with_digest_and_deleted
        message_attributes_are_received_with_their_digest
        system_attributes_are_returned_on_request
        undeleted_message_is_redelivered
        visibility_timeout_of_zero_makes_a_message_visible
        visibility_timeout_can_be_extended
        long_poll_ends_when_a_message_is_sent
        long_poll_ends_when_a_message_becomes_visible
        delayed_message_is_not_visible_yet
        messages_out_of_bounds_are_rejected
        invalid_receipt_handle_is_rejected
        standard_queue_deletes_by_an_old_handle;
    batches:
        batch_is_sent_received_and_deleted
        invalid_batch_is_rejected
        failed_batch_entry_does_not_stop_the_others
        visibility_changes_in_batches;
    fifo:
        group_is_received_in_order
        group_in_flight_is_locked_and_others_are_not
        returned_message_precedes_later_ones
        duplicate_enqueues_nothing
        equal_bodies_are_duplicates_with_content_based_deduplication
        group_and_deduplication_ids_are_required
        sequence_numbers_grow
        expired_handle_is_rejected;
    dead_letters:
        message_over_the_receive_limit_becomes_a_dead_letter
        fifo_dead_letter_preserves_ids_and_unlocks_its_group
        dead_letter_queue_must_have_the_same_type
        dead_letters_are_redriven
        dead_letter_queue_sources_are_listed;
}
