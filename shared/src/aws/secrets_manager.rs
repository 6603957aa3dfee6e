//! Reads a secret of AWS Secrets Manager.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};
use aws_sdk_secretsmanager::{Client, Config};
use secrecy::SecretString;

use super::{ATTEMPTS, AwsSettings, Timeouts, http, reason};

/// The timeouts of the call, for which an invocation waits.
const TIMEOUTS: Timeouts = Timeouts { call: Duration::from_secs(4), attempt: Duration::from_secs(2) };
/// The maximum backoff before the second attempt; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(50);

/// A secret of Secrets Manager.
pub(crate) struct Secret {
    client: Client,
    id: String,
}

/// The current value of a secret.
pub(crate) struct SecretValue {
    /// The value as a string; `None` when it is binary.
    pub secret_string: Option<SecretString>,
    /// The id of the version, different for each value.
    pub version_id: Option<String>,
}

impl Secret {
    /// Creates a client for the secret with this name or ARN.
    pub(crate) fn new(settings: &AwsSettings, id: &str, http: &reqwest::Client) -> Self {
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(settings.region.clone()))
            .credentials_provider(Credentials::from(settings))
            .http_client(http::client(http.clone()))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(PAUSE))
            .timeout_config(TIMEOUTS.config());
        config.set_endpoint_url(settings.endpoint_url.clone());
        Self { client: Client::from_conf(config.build()), id: id.to_owned() }
    }

    /// Reads the current value.
    ///
    /// # Errors
    /// The error code of AWS, or the kind of failure, without content of the request or the response.
    pub(crate) async fn value(&self) -> Result<SecretValue, String> {
        let call = self.client.get_secret_value().secret_id(&self.id).send();
        let value = call.await.map_err(|error| reason(&error))?;
        Ok(SecretValue {
            secret_string: value.secret_string.map(SecretString::from),
            version_id: value.version_id,
        })
    }
}
