//! The secrets of a function: from one secret of AWS Secrets Manager, or from the environment.
//!
//! On AWS, `SECRET_ID` names a secret with a JSON object of the secrets by name. It is read before the first invocation
//! and refreshed periodically, so that a rotated value is used without a deployment. Without `SECRET_ID`, as in local
//! runs and tests, each secret is an environment variable with its name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::aws::secrets_manager::Secret;
use crate::aws::{self, AwsSettings};
use crate::lambda::counter::Counter;
use crate::lambda::env::{self, EnvError};

/// The time until the secrets are refreshed.
pub const FRESH: Duration = Duration::from_secs(5 * 60);

/// The time until the next attempt after a failed refresh; the earlier value is used meanwhile.
const RETRY: Duration = Duration::from_secs(30);

/// The time for which an invocation waits for a refresh: it delays the response to Meta.
pub const REFRESH_TIMEOUT: Duration = Duration::from_millis(1500);

/// Secrets by name.
#[derive(Clone, Debug, Default)]
pub enum Secrets {
    /// Environment variables.
    #[default]
    Environment,
    /// The members of a JSON object.
    Values(BTreeMap<String, SecretString>),
}

/// Secrets that could not be read. The message includes no secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SecretsError {
    /// Secrets Manager did not return the secret.
    #[error("the secret of SECRET_ID cannot be read: Secrets Manager: {0}")]
    Call(String),
    /// The secret is not a JSON object of strings.
    #[error("the secret of SECRET_ID is not a JSON object with strings as values")]
    Unreadable,
    /// A setting is missing or invalid.
    #[error(transparent)]
    Setting(#[from] EnvError),
}

impl Secrets {
    /// Returns the secret with this name.
    ///
    /// # Errors
    /// [`EnvError::Missing`] or [`EnvError::MissingSecret`] when it is missing or empty.
    pub fn required(&self, name: &'static str) -> Result<SecretString, EnvError> {
        match self {
            Self::Environment => env::secret(name),
            Self::Values(values) => {
                let value = values.get(name).filter(|value| !value.expose_secret().is_empty());
                value.cloned().ok_or(EnvError::MissingSecret(name))
            }
        }
    }

    /// Returns the secret with this name; `None` when it is missing or empty.
    ///
    /// # Errors
    /// [`EnvError::Unusable`] when it is an environment variable that is not UTF-8.
    pub fn optional(&self, name: &'static str) -> Result<Option<SecretString>, EnvError> {
        match self.required(name) {
            Ok(value) => Ok(Some(value)),
            Err(EnvError::Missing(_) | EnvError::MissingSecret(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the secret with this name, parsed.
    ///
    /// # Errors
    /// As [`Secrets::required`], and [`EnvError::Unusable`] when it cannot be parsed.
    pub fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        name: &'static str,
    ) -> Result<T, EnvError> {
        let value = self.required(name)?;
        let parsed = value.expose_secret().parse();
        parsed.map_err(|error: T::Err| EnvError::Unusable { name, reason: error.to_string() })
    }

    fn read(json: &str) -> Result<Self, SecretsError> {
        let values: BTreeMap<String, SecretString> =
            serde_json::from_str(json).map_err(|_| SecretsError::Unreadable)?;
        // Trimmed like environment variables, because values are often copied with a line break.
        let trimmed = |value: SecretString| SecretString::from(value.expose_secret().trim().to_owned());
        Ok(Self::Values(values.into_iter().map(|(name, value)| (name, trimmed(value))).collect()))
    }
}

/// A function that builds a value with secrets.
type Build<T> = Box<dyn Fn(&Secrets) -> Result<T, EnvError> + Send + Sync>;

/// A value that is built with secrets, and rebuilt when they have changed.
pub struct Rotating<T> {
    source: Option<Secret>,
    build: Build<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    built: Arc<T>,
    version: Option<String>,
    next: Instant,
}

impl<T> Rotating<T> {
    /// Reads the secrets, over `http`, and builds the value.
    ///
    /// # Errors
    /// When the secrets cannot be read, or `build` fails.
    pub async fn start(
        http: &reqwest::Client,
        build: impl Fn(&Secrets) -> Result<T, EnvError> + Send + Sync + 'static,
    ) -> Result<Self, SecretsError> {
        let source = match env::optional("SECRET_ID")? {
            Some(id) => {
                let settings = AwsSettings::from_env(aws::SECRETS_MANAGER_ENDPOINT)?;
                Some(Secret::new(&settings, &id, http))
            }
            None => None,
        };
        Self::with(source, build).await
    }

    /// Like [`Rotating::start`], with the secret `id` of the Secrets Manager in `settings`.
    ///
    /// # Errors
    /// When the secret cannot be read, or `build` fails.
    pub async fn start_with(
        settings: &AwsSettings,
        id: &str,
        http: &reqwest::Client,
        build: impl Fn(&Secrets) -> Result<T, EnvError> + Send + Sync + 'static,
    ) -> Result<Self, SecretsError> {
        Self::with(Some(Secret::new(settings, id, http)), build).await
    }

    async fn with(
        source: Option<Secret>,
        build: impl Fn(&Secrets) -> Result<T, EnvError> + Send + Sync + 'static,
    ) -> Result<Self, SecretsError> {
        let (secrets, version) = match &source {
            Some(source) => read(source).await?,
            None => (Secrets::Environment, None),
        };
        let built = Arc::new(build(&secrets)?);
        let state = Mutex::new(State { built, version, next: Instant::now() + FRESH });
        Ok(Self { source, build: Box::new(build), state })
    }

    /// Returns the value, built with secrets that are at most [`FRESH`] old, or older when a refresh fails or exceeds
    /// [`REFRESH_TIMEOUT`].
    pub async fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().await;
        if let Some(source) = &self.source
            && Instant::now() >= state.next
        {
            state.next = Instant::now() + self.refresh(source, &mut state).await;
        }
        Arc::clone(&state.built)
    }

    /// Refreshes the secrets; returns the time until the next refresh.
    async fn refresh(&self, source: &Secret, state: &mut State<T>) -> Duration {
        let reading = timeout(REFRESH_TIMEOUT, read(source)).await;
        let late = || Err(SecretsError::Call("no response in time".to_owned()));
        let refreshed = match reading.unwrap_or_else(|_| late()) {
            Ok((_, version)) if version.is_some() && version == state.version => return FRESH,
            Ok((secrets, version)) => {
                (self.build)(&secrets).map(|built| (built, version)).map_err(SecretsError::from)
            }
            Err(error) => Err(error),
        };
        match refreshed {
            Ok((built, version)) => {
                info!(counter = Counter::RotatedSecrets.name(), "secrets changed: new values in use");
                (state.built, state.version) = (Arc::new(built), version);
                FRESH
            }
            Err(cause) => {
                warn!(counter = Counter::UnreadSecrets.name(), %cause, "secrets not refreshed: earlier values in use");
                RETRY
            }
        }
    }
}

/// Reads the secrets and their version.
async fn read(source: &Secret) -> Result<(Secrets, Option<String>), SecretsError> {
    let value = source.value().await.map_err(SecretsError::Call)?;
    let secrets = value.secret_string.ok_or(SecretsError::Unreadable)?;
    Ok((Secrets::read(secrets.expose_secret())?, value.version_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_optional_secret_may_be_missing_or_empty() {
        let secrets = Secrets::read(r#"{"ONE": " 1\n", "NONE": ""}"#).expect("secrets");
        let value =
            |name| secrets.optional(name).map(|value| value.map(|value| value.expose_secret().to_owned()));
        assert_eq!(value("ONE"), Ok(Some("1".to_owned())));
        assert_eq!((value("NONE"), value("OTHER")), (Ok(None), Ok(None)));
        assert!(matches!(Secrets::Environment.optional("SHARED_TEST_UNSET"), Ok(None)));
    }
}
