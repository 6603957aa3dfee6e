//! One suite of queue behaviours, through the real SDK, against our queue and, when
//! `QUEUE_SUITE_ENDPOINT` is set, against another one (moto, say): both must agree.

mod batches;
mod dead_letters;
mod fifo;
mod messages;
mod queues;

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;

/// An endpoint that the suite runs against.
struct Target {
    client: Client,
    ours: bool,
}

/// What moto 5.2 is known to do differently from SQS. Here and nowhere else.
#[derive(Clone, Copy, PartialEq)]
enum Difference {
    /// It deletes by an expired receipt handle of a FIFO queue, which SQS refuses.
    ExpiredHandleOfFifoQueue,
    /// It calls a dead-letter queue of the wrong kind `InvalidParameterCombination`.
    CodeForKindOfDeadLetterQueue,
    /// Its sequence numbers are random; SQS's grow.
    SequenceNumberGrows,
    /// It takes empty bodies and any characters in bodies, group ids and deduplication ids.
    ChecksOfTexts,
    /// It answers a duplicate with a new message id, and knows only duplicates of messages that it has.
    DuplicatesOfDeletedMessages,
    /// It does not know the actions of move tasks.
    MoveTasks,
}

impl Target {
    /// Whether the endpoint is expected to do as SQS does: ours always, another one unless it is known to
    /// differ. Nothing else in the suite may ask which endpoint it runs against.
    fn does_as_sqs(&self, difference: Difference) -> bool {
        use Difference as D;
        let known = [
            D::ExpiredHandleOfFifoQueue,
            D::CodeForKindOfDeadLetterQueue,
            D::SequenceNumberGrows,
            D::ChecksOfTexts,
            D::DuplicatesOfDeletedMessages,
            D::MoveTasks,
        ];
        self.ours || !known.contains(&difference)
    }

    /// A new queue with a visibility timeout of 30 s, unless `attributes` say otherwise; its URL.
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

    /// The body is the deduplication id too.
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

/// The other endpoint may keep the queues of earlier runs.
fn unique_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let run = std::process::id();
    format!("suite-{run}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Makes two tests of every behaviour.
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

        /// These pass without doing anything when there is no other endpoint.
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
        a_queue_is_found_by_name_and_by_prefix
        creating_a_queue_again_is_fine_unless_it_differs
        a_queue_that_does_not_exist_is_reported_as_such
        attributes_are_kept_and_checked
        the_counts_say_where_messages_stand
        purging_empties_a_queue
        tags_are_kept;
    messages:
        a_message_is_received_with_its_digest_and_gone_once_deleted
        message_attributes_travel_with_their_digest
        system_attributes_come_when_asked_for
        a_message_that_is_not_deleted_comes_back
        a_visibility_timeout_of_zero_returns_a_message_at_once
        a_visibility_timeout_can_be_extended
        a_long_poll_ends_when_a_message_is_sent
        a_long_poll_ends_when_a_message_comes_back
        a_delayed_message_is_not_there_yet
        messages_out_of_bounds_are_refused
        an_invalid_receipt_handle_is_refused
        a_standard_queue_deletes_by_an_old_handle;
    batches:
        a_batch_is_sent_received_and_deleted
        a_batch_that_is_none_is_refused
        one_bad_entry_does_not_stop_the_others
        visibility_changes_in_batches;
    fifo:
        a_group_is_received_in_order
        a_group_in_flight_is_locked_and_others_are_not
        a_returned_message_comes_before_later_ones
        a_duplicate_enqueues_nothing
        equal_bodies_are_duplicates_with_content_based_deduplication
        group_and_deduplication_ids_are_required
        sequence_numbers_grow
        an_expired_handle_is_refused;
    dead_letters:
        a_message_received_too_often_becomes_a_dead_letter
        a_fifo_dead_letter_keeps_its_ids_and_frees_its_group
        the_dead_letter_queue_is_of_the_same_kind
        dead_letters_move_back
        the_sources_of_a_dead_letter_queue_are_listed;
}
