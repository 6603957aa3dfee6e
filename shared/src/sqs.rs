//! An SQS client: hyper 1, rustls on ring, no `aws-config`.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use secrecy::{ExposeSecret, SecretString};

use crate::env::{self, EnvError};

/// How to reach SQS.
///
/// On Lambda all of it is set by the service. Reading it here, instead of with `aws-config`, saves a good
/// part of the binary and of a cold start.
#[derive(Clone, Debug)]
pub struct SqsSettings {
    /// `AWS_ENDPOINT_URL_SQS`: another endpoint than AWS's own.
    pub endpoint_url: Option<String>,
    /// `AWS_REGION`.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: SecretString,
    /// `AWS_SESSION_TOKEN`: set on Lambda.
    pub session_token: Option<SecretString>,
}

/// How long calls may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// A call, its repetitions included.
    pub call: Duration,
    /// One attempt of a call.
    pub attempt: Duration,
    /// Opening a connection.
    pub connect: Duration,
}

impl SqsSettings {
    /// Reads the variables that Lambda sets.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn from_env() -> Result<Self, EnvError> {
        Ok(Self {
            endpoint_url: env::optional("AWS_ENDPOINT_URL_SQS")?,
            region: env::required("AWS_REGION")?,
            access_key_id: env::required("AWS_ACCESS_KEY_ID")?,
            secret_access_key: env::secret("AWS_SECRET_ACCESS_KEY")?,
            session_token: env::optional("AWS_SESSION_TOKEN")?.map(SecretString::from),
        })
    }
}

/// Builds a client; connections are opened when they are needed, and kept.
#[must_use]
pub fn client(settings: &SqsSettings, timeouts: Timeouts) -> Client {
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
        .connect_timeout(timeouts.connect)
        .operation_attempt_timeout(timeouts.attempt)
        .operation_timeout(timeouts.call)
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

/// The kind of failure, without what the request held.
#[must_use]
pub fn reason<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String {
    match error {
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(_) => "no connection".to_owned(),
        SdkError::ServiceError(error) => error.err().code().unwrap_or("no error code").to_owned(),
        _ => "the call could not be made or its answer not be read".to_owned(),
    }
}
