//! The secrets of a function: from one secret of AWS Secrets Manager, or from the environment.
//!
//! On AWS, `SECRET_ID` names a secret whose value is a JSON object with the secrets by name. It is read before the first
//! invocation and again from time to time, so that a rotated value is used without a deployment. Without `SECRET_ID`,
//! here and in tests, each secret is an environment variable of its name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::aws::secrets_manager::Secret;
use crate::aws::{self, AwsSettings};
use crate::counter::Counter;
use crate::env::{self, EnvError};

/// How long a value is used before it is read again.
pub const FRESH: Duration = Duration::from_secs(5 * 60);

/// How long until the next attempt when it could not be read again; the old value is used meanwhile.
const RETRY: Duration = Duration::from_secs(30);

/// How long an invocation waits for a value to be read again. Meta waits for the whole of it.
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

/// Secrets that could not be read. The text holds nothing of them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SecretsError {
    /// Secrets Manager did not hand the secret out.
    #[error("the secret of SECRET_ID cannot be read: Secrets Manager: {0}")]
    Call(String),
    /// It is not what is expected.
    #[error("the secret of SECRET_ID is not a JSON object whose members are texts")]
    Unreadable,
    /// A setting is missing or cannot be used.
    #[error(transparent)]
    Setting(#[from] EnvError),
}

impl Secrets {
    /// The secret of this name.
    ///
    /// # Errors
    /// [`EnvError::Missing`] when it is not there, or empty.
    pub fn required(&self, name: &'static str) -> Result<SecretString, EnvError> {
        match self {
            Self::Environment => env::secret(name),
            Self::Values(values) => {
                let value = values.get(name).filter(|value| !value.expose_secret().is_empty());
                value.cloned().ok_or(EnvError::MissingSecret(name))
            }
        }
    }

    /// The secret of this name, parsed.
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
        // As with variables, which are often copied with a line's end.
        let trimmed = |value: SecretString| SecretString::from(value.expose_secret().trim().to_owned());
        Ok(Self::Values(values.into_iter().map(|(name, value)| (name, trimmed(value))).collect()))
    }
}

/// How something is built with secrets.
type Build<T> = Box<dyn Fn(&Secrets) -> Result<T, EnvError> + Send + Sync>;

/// Something that is built with secrets, and built anew when they have changed.
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
    /// Reads the secrets, over `http`, and builds with them.
    ///
    /// # Errors
    /// When they cannot be read, or `build` fails.
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

    /// Like [`Rotating::start`], with the secret `id` of the Secrets Manager that `settings` lead to.
    ///
    /// # Errors
    /// When it cannot be read, or `build` fails.
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

    /// What was built with the secrets as they are, or were [`FRESH`] ago, or longer ago when they cannot be read within
    /// [`REFRESH_TIMEOUT`].
    pub async fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().await;
        if let Some(source) = &self.source
            && Instant::now() >= state.next
        {
            state.next = Instant::now() + self.renew(source, &mut state).await;
        }
        Arc::clone(&state.built)
    }

    /// Reads the secrets again; returns when to do so next.
    async fn renew(&self, source: &Secret, state: &mut State<T>) -> Duration {
        let reading = timeout(REFRESH_TIMEOUT, read(source)).await;
        let late = || Err(SecretsError::Call("no answer in time".to_owned()));
        let renewed = match reading.unwrap_or_else(|_| late()) {
            Ok((_, version)) if version.is_some() && version == state.version => return FRESH,
            Ok((secrets, version)) => {
                (self.build)(&secrets).map(|built| (built, version)).map_err(SecretsError::from)
            }
            Err(error) => Err(error),
        };
        match renewed {
            Ok((built, version)) => {
                info!(
                    counter = Counter::RotatedSecrets.name(),
                    "the secrets have changed, and are used from now on"
                );
                (state.built, state.version) = (Arc::new(built), version);
                FRESH
            }
            Err(cause) => {
                warn!(counter = Counter::UnreadSecrets.name(), %cause, "the secrets are used as they were");
                RETRY
            }
        }
    }
}

/// The secrets, and the version of their value.
async fn read(source: &Secret) -> Result<(Secrets, Option<String>), SecretsError> {
    let value = source.value().await.map_err(SecretsError::Call)?;
    let secrets = value.secret_string.ok_or(SecretsError::Unreadable)?;
    Ok((Secrets::read(secrets.expose_secret())?, value.version_id))
}
