//! Clients of AWS services, without `aws-config`, over the workspace's HTTP client.

mod http;
pub(crate) mod secrets_manager;

use std::collections::HashMap;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Region};
use aws_sdk_sqs::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::{MessageSystemAttributeNameForSends, MessageSystemAttributeValue};
use secrecy::{ExposeSecret, SecretString};

use crate::lambda::env::{self, EnvError};
use crate::lambda::trace;

/// The variable with another endpoint than AWS's for SQS.
pub const SQS_ENDPOINT: &str = "AWS_ENDPOINT_URL_SQS";
/// The variable with another endpoint than AWS's for Secrets Manager.
pub const SECRETS_MANAGER_ENDPOINT: &str = "AWS_ENDPOINT_URL_SECRETS_MANAGER";

/// Attempts of a call, including the first.
const ATTEMPTS: u32 = 3;

/// Endpoint, region and credentials of an AWS service.
///
/// Lambda sets all of these variables. Reading them directly instead of with `aws-config` makes the binary and a cold
/// start considerably smaller.
#[derive(Clone, Debug)]
pub struct AwsSettings {
    /// [`SQS_ENDPOINT`] or [`SECRETS_MANAGER_ENDPOINT`]; `None` for AWS's endpoint.
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

/// The timeouts of calls.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// A call, including its retries.
    pub call: Duration,
    /// One attempt of a call, including the opening of a connection.
    pub attempt: Duration,
}

impl AwsSettings {
    /// Reads the variables that Lambda sets, and the variable `endpoint`.
    ///
    /// # Errors
    /// The error names the missing variable.
    pub fn from_env(endpoint: &'static str) -> Result<Self, EnvError> {
        Ok(Self {
            endpoint_url: env::optional(endpoint)?,
            region: env::required("AWS_REGION")?,
            access_key_id: env::required("AWS_ACCESS_KEY_ID")?,
            secret_access_key: env::secret("AWS_SECRET_ACCESS_KEY")?,
            session_token: env::optional("AWS_SESSION_TOKEN")?.map(SecretString::from),
        })
    }
}

impl From<&AwsSettings> for Credentials {
    fn from(settings: &AwsSettings) -> Self {
        let session_token = settings.session_token.as_ref().map(|token| token.expose_secret().to_owned());
        let secret = settings.secret_access_key.expose_secret();
        Self::new(&settings.access_key_id, secret, session_token, None, "environment")
    }
}

impl Timeouts {
    fn config(self) -> TimeoutConfig {
        TimeoutConfig::builder().operation_attempt_timeout(self.attempt).operation_timeout(self.call).build()
    }
}

/// Builds a client of SQS over `http`; connections are opened on demand and reused.
#[must_use]
pub fn sqs(settings: &AwsSettings, timeouts: Timeouts, http: &reqwest::Client) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(settings.region.clone()))
        .credentials_provider(Credentials::from(settings))
        .http_client(http::client(http.clone()))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts.config());
    let config = match &settings.endpoint_url {
        Some(url) => config.endpoint_url(url),
        None => config,
    };
    aws_sdk_sqs::Client::from_conf(config.build())
}

/// Returns the system attributes that carry the current trace with a message to SQS.
///
/// # Errors
/// Never in practice: all required fields of the attribute are set.
pub fn trace_attributes()
-> Result<Option<HashMap<MessageSystemAttributeNameForSends, MessageSystemAttributeValue>>, BuildError> {
    let Some(header) = trace::current() else { return Ok(None) };
    let value = MessageSystemAttributeValue::builder().data_type("String").string_value(header).build()?;
    Ok(Some([(MessageSystemAttributeNameForSends::AwsTraceHeader, value)].into()))
}

/// Returns the kind of a failure, without content of the request.
#[must_use]
pub fn reason<E: ProvideErrorMetadata>(error: &SdkError<E>) -> String {
    match error {
        SdkError::TimeoutError(_) => "no response in time".to_owned(),
        SdkError::DispatchFailure(_) => "no connection".to_owned(),
        SdkError::ServiceError(error) => error.err().code().unwrap_or("no error code").to_owned(),
        _ => "the request could not be built or the response not be parsed".to_owned(),
    }
}
