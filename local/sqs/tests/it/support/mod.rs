//! The real SDK client, and polling with a deadline.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::operation::receive_message::ReceiveMessageOutput;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use tokio::time::Instant;

/// Deadline for expected events.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A client without retries, to expose every error.
pub(crate) fn client(endpoint_url: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::from_keys("local", "local", None))
        .endpoint_url(endpoint_url)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

/// The error code, without the prefix of some SQS codes.
pub(crate) fn code<T, E, R>(result: Result<T, SdkError<E, R>>) -> String
where
    SdkError<E, R>: ProvideErrorMetadata,
{
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => {
            let code = error.code().unwrap_or("no code");
            code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code).to_owned()
        }
    }
}

pub(crate) fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().filter_map(Message::body).collect()
}

pub(crate) fn handle(message: &Message) -> &str {
    message.receipt_handle().expect("a receipt handle")
}

pub(crate) fn attribute<'a>(message: &'a Message, name: &MessageSystemAttributeName) -> Option<&'a str> {
    message.attributes().and_then(|attributes| attributes.get(name)).map(String::as_str)
}

/// Up to ten messages that can be received now.
pub(crate) async fn receive(client: &Client, queue_url: &str) -> Vec<Message> {
    receive_output(client, queue_url).await.messages.unwrap_or_default()
}

async fn receive_output(client: &Client, queue_url: &str) -> ReceiveMessageOutput {
    client
        .receive_message()
        .queue_url(queue_url)
        .max_number_of_messages(10)
        .wait_time_seconds(0)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .message_attribute_names("All")
        .send()
        .await
        .expect("receive")
}

/// Receives until there is a message.
pub(crate) async fn receive_some(client: &Client, queue_url: &str) -> Vec<Message> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let messages = receive(client, queue_url).await;
        if !messages.is_empty() {
            return messages;
        }
        assert!(Instant::now() < deadline, "no message arrived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
