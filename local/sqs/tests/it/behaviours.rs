//! One suite of queue behaviours, through the real SDK, against our queue and, where an environment variable names
//! its endpoint, against other implementations: `MOTO_ENDPOINT`, `LOCALSTACK_ENDPOINT`. All must agree, except for
//! the differences listed here.

mod batches;
mod dead_letters;
mod fifo;
mod holding;
mod messages;
mod queues;

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::QueueAttributeName;

/// An implementation of SQS, in the versions that `.ci/with-sqs` installs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Implementation {
    Ours,
    Moto,
    LocalStack,
}

/// An endpoint under test.
struct Target {
    client: Client,
    implementation: Implementation,
}

/// Known differences between implementations and SQS, and what AWS documents: in the *API* Reference of Amazon SQS, or in
/// its Developer *Guide*. All of them are listed here.
#[derive(Clone, Copy, PartialEq)]
enum Difference {
    /// An expired receipt handle of a FIFO queue is accepted. AWS: an `InvalidParameterValue`, "The receipt handle has
    /// expired" (re:Post, "`ReceiptHandleIsInvalid` or `InvalidParameterValue` error").
    ExpiredHandleOfFifoQueue,
    /// A dead-letter queue of the wrong type is accepted. AWS: "The dead-letter queue of a FIFO queue must also be a FIFO
    /// queue" (API, `SetQueueAttributes`).
    TypeOfDeadLetterQueue,
    /// The code for it is not `InvalidParameterValue`; moto's is `InvalidParameterCombination`.
    CodeForTypeOfDeadLetterQueue,
    /// Sequence numbers are random. AWS: "`SequenceNumber` continues to increase for a particular `MessageGroupId`"
    /// (API, `SendMessage`).
    SequenceNumberGrows,
    /// Empty bodies and any characters in bodies, group ids and deduplication ids are accepted. AWS: "The minimum size
    /// is one character"; the ids "can contain alphanumeric characters and punctuation", up to 128 (API, `SendMessage`).
    StringValidation,
    /// A delay of 901 s and a maximum size of one byte are accepted. AWS: "Valid values: 0 to 900" (API, `SendMessage`),
    /// "from 1,024 bytes" (API, `CreateQueue`).
    NumberValidation,
    /// A duplicate has a new message id, and is recognised only while the first message is in the queue. AWS: duplicates
    /// "are accepted successfully but aren't delivered during the 5-minute deduplication interval" (API, `SendMessage`).
    DuplicatesOfDeletedMessages,
    /// The actions of move tasks are not supported. AWS: API, `StartMessageMoveTask`.
    MoveTasks,
    /// A redriven message keeps its id and receive count. AWS: "All redriven messages are considered new messages with a
    /// new `messageID`" (Guide, "Configure a dead-letter queue redrive").
    RedrivenMessageIsNew,
    /// `InvalidParameterValue` for a task handle that is not one. AWS documents `ResourceNotFoundException` (API,
    /// `CancelMessageMoveTask`).
    CodeForTaskHandle,
    /// An invalid receipt handle in a batch is the receiver's fault. AWS: `SenderFault` "specifies whether the error
    /// happened due to the caller of the batch API action" (API, `BatchResultErrorEntry`).
    SenderFault,
    /// A message whose visibility timeout has expired keeps its group locked until a receive comes upon it and passes it
    /// over: of several, the first ones are left behind. AWS: SQS "first attempts to return as many messages with the
    /// same message group ID as possible", and in order (Guide, "FIFO queue delivery logic").
    ExpiredMessagesReturnTogether,
    /// A group with a message in flight stays locked for the messages before that one, too. AWS: a message in flight
    /// blocks "*subsequent* messages in that group" (Guide, "Visibility timeout").
    GroupReturnsUpToTheFirstHidden,
    /// Once one message of a group has been made visible, all visible ones are received, also those behind a hidden one.
    /// AWS: "When a message with a message group ID is in-flight, subsequent messages in that group are not made
    /// available until the in-flight message is either deleted or the visibility timeout expires" (Guide, "Visibility
    /// timeout").
    HiddenMessageBlocksLaterOnes,
}

impl Difference {
    /// The implementations that differ.
    const fn of(self) -> &'static [Implementation] {
        use Implementation as I;
        match self {
            Self::ExpiredHandleOfFifoQueue | Self::CodeForTypeOfDeadLetterQueue => &[I::Moto, I::LocalStack],
            Self::SequenceNumberGrows
            | Self::StringValidation
            | Self::DuplicatesOfDeletedMessages
            | Self::MoveTasks
            | Self::ExpiredMessagesReturnTogether
            | Self::GroupReturnsUpToTheFirstHidden => &[I::Moto],
            Self::TypeOfDeadLetterQueue
            | Self::NumberValidation
            | Self::RedrivenMessageIsNew
            | Self::CodeForTaskHandle
            | Self::SenderFault
            | Self::HiddenMessageBlocksLaterOnes => &[I::LocalStack],
        }
    }
}

impl Target {
    /// Whether the endpoint is expected to behave as SQS does: an implementation except for its known differences.
    /// Nothing else in the suite may depend on the endpoint.
    fn behaves_as_sqs(&self, difference: Difference) -> bool {
        !difference.of().contains(&self.implementation)
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

/// Runs a behaviour on a server of ours.
async fn on_ours(behaviour: impl AsyncFnOnce(&Target)) {
    let server = local_sqs::SqsServer::start(0).await.expect("start");
    let client = crate::support::client(server.endpoint_url());
    behaviour(&Target { client, implementation: Implementation::Ours }).await;
    server.stop().await;
}

/// Runs a behaviour on the endpoint in an environment variable. Without one, nothing is checked. Server errors are
/// retried, as the SDK does by default: moto cannot list queues while others are created.
async fn on_endpoint(variable: &str, implementation: Implementation, behaviour: impl AsyncFnOnce(&Target)) {
    if let Ok(endpoint) = std::env::var(variable) {
        let config = crate::support::client(&endpoint).config().to_builder();
        let client = Client::from_conf(config.retry_config(RetryConfig::standard()).build());
        behaviour(&Target { client, implementation }).await;
    }
}

/// Generates a test per behaviour and implementation.
macro_rules! behaviours {
    ($($module:ident: $($name:ident)*;)*) => {
        mod ours {
            $($(
                #[tokio::test]
                async fn $name() {
                    super::on_ours(super::$module::$name).await;
                }
            )*)*
        }

        mod moto {
            $($(
                #[tokio::test]
                async fn $name() {
                    let moto = super::Implementation::Moto;
                    super::on_endpoint("MOTO_ENDPOINT", moto, super::$module::$name).await;
                }
            )*)*
        }

        mod localstack {
            $($(
                #[tokio::test]
                async fn $name() {
                    let localstack = super::Implementation::LocalStack;
                    super::on_endpoint("LOCALSTACK_ENDPOINT", localstack, super::$module::$name).await;
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
    holding:
        held_group_is_locked_and_others_are_not
        held_group_returns_together_with_a_later_message
        ten_messages_of_a_held_group_return_before_the_rest
        shorter_hold_of_a_later_message_overtakes_nothing
        hidden_first_message_holds_its_group
        group_returns_up_to_its_first_hidden_message;
    dead_letters:
        message_over_the_receive_limit_becomes_a_dead_letter
        fifo_dead_letter_preserves_ids_and_unlocks_its_group
        dead_letter_queue_must_have_the_same_type
        dead_letters_are_redriven
        dead_letter_queue_sources_are_listed;
}
