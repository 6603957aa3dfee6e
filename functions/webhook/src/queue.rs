//! The inbound queue.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use secrecy::ExposeSecret;

use crate::batches::Batch;
use crate::settings::{QueueSettings, SqsSettings};

/// How long one call may take, its repetitions included. Meta waits, and sends again.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
/// How long one attempt of a call may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where accepted messages go.
pub trait Queue: Send + Sync {
    /// Puts all entries of a batch on the queue.
    ///
    /// # Errors
    /// When not all of them were accepted; some may have been.
    fn send(&self, batch: Batch) -> impl Future<Output = Result<(), QueueError>> + Send;
}

/// Entries that the queue has not accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum QueueError {
    /// The whole call failed.
    #[error("SQS did not take the batch: {0}")]
    Call(String),
    /// The call succeeded, some of its entries did not.
    #[error("SQS refused {refused} of {sent} entries: {code}")]
    Entries {
        /// How many were refused.
        refused: usize,
        /// How many the call held.
        sent: usize,
        /// The first refusal's code.
        code: String,
    },
}

/// Amazon SQS, or what speaks its protocol.
#[derive(Clone, Debug)]
pub struct Sqs {
    client: Client,
    queue_url: String,
}

impl Sqs {
    /// Builds the client; connections are opened when they are needed, and kept.
    #[must_use]
    pub fn new(settings: &QueueSettings) -> Self {
        Self { client: client(&settings.sqs), queue_url: settings.url.clone() }
    }
}

/// An SQS client on hyper 1 and rustls with ring.
#[must_use]
pub fn client(settings: &SqsSettings) -> Client {
    let http = aws_smithy_http_client::Builder::new();
    // Without an `https` endpoint there is no TLS to be set up.
    let plain = settings.endpoint_url.as_ref().is_some_and(|url| url.starts_with("http://"));
    let http = match plain {
        true => http.build_http(),
        false => http.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https(),
    };
    let credentials = Credentials::new(
        &settings.access_key_id,
        settings.secret_access_key.expose_secret(),
        settings.session_token.as_ref().map(|token| token.expose_secret().to_owned()),
        None,
        "environment",
    );
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    let mut config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(settings.region.clone()))
        .credentials_provider(credentials)
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
        .timeout_config(timeouts);
    if let Some(url) = &settings.endpoint_url {
        config = config.endpoint_url(url);
    }
    Client::from_conf(config.build())
}

impl Queue for Sqs {
    async fn send(&self, batch: Batch) -> Result<(), QueueError> {
        let sent = batch.entries.len();
        let mut call = self.client.send_message_batch().queue_url(&self.queue_url);
        for (position, entry) in batch.entries.into_iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(position.to_string())
                .message_group_id(entry.message_group_id)
                .message_deduplication_id(entry.deduplication_id)
                .message_body(entry.body)
                .build()
                .map_err(|error| QueueError::Call(error.to_string()))?;
            call = call.entries(entry);
        }
        let answer = call.send().await.map_err(|error| QueueError::Call(reason(&error)))?;
        match answer.failed() {
            // An entry that is in neither list was not accepted either.
            [] if answer.successful().len() == sent => Ok(()),
            failed => Err(QueueError::Entries {
                refused: sent - answer.successful().len().min(sent),
                sent,
                code: failed.first().map_or("no reason given", |entry| entry.code()).to_owned(),
            }),
        }
    }
}

/// The kind of failure, without what the request held.
fn reason<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String {
    match error {
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(_) => "no connection".to_owned(),
        SdkError::ServiceError(error) => error.err().code().unwrap_or("no error code").to_owned(),
        _ => "the call could not be made or its answer not be read".to_owned(),
    }
}
