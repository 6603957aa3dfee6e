//! What `webhook` reads from its environment.

use secrecy::SecretString;
use shared::env::{self, EnvError};

use crate::handshake::VerifyToken;
use crate::signature::AppSecret;

/// All settings.
#[derive(Debug)]
pub struct Settings {
    /// `WHATSAPP_APP_SECRET`: the Meta app's secret, which signs every request.
    pub app_secret: AppSecret,
    /// `WHATSAPP_VERIFY_TOKEN`: a text of our choice, entered in Meta's console.
    pub verify_token: VerifyToken,
    /// The inbound queue.
    pub queue: QueueSettings,
}

/// Where the inbound queue is and how to get in.
///
/// On Lambda all of it but the URL is set by the service. Reading it here, instead of with `aws-config`,
/// saves a good part of the binary and of a cold start.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// `INBOUND_QUEUE_URL`.
    pub url: String,
    /// How to reach SQS.
    pub sqs: SqsSettings,
}

/// How to reach SQS.
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

impl Settings {
    /// Reads all settings.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn from_env() -> Result<Self, EnvError> {
        Ok(Self {
            app_secret: AppSecret::new(&env::secret("WHATSAPP_APP_SECRET")?),
            verify_token: VerifyToken::new(env::secret("WHATSAPP_VERIFY_TOKEN")?),
            queue: QueueSettings { url: env::required("INBOUND_QUEUE_URL")?, sqs: SqsSettings::from_env()? },
        })
    }
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
