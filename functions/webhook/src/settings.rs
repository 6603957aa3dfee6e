//! The settings of `webhook`, from environment variables and secrets.

use shared::aws::{self, AwsSettings};
use shared::lambda::env::{self, EnvError};
use shared::lambda::secrets::Secrets;

use crate::handshake::VerifyToken;
use crate::signature::AppSecret;

/// All settings.
#[derive(Debug)]
pub struct Settings {
    /// `WHATSAPP_APP_SECRET`: the Meta app's secret, the key of every request's signature.
    pub app_secret: AppSecret,
    /// `WHATSAPP_VERIFY_TOKEN`: a freely chosen string, also configured in Meta's console.
    pub verify_token: VerifyToken,
    /// The inbound queue.
    pub queue: QueueSettings,
}

/// Address and credentials of the inbound queue.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// `INBOUND_QUEUE_URL`.
    pub url: String,
    /// Endpoint and credentials of SQS.
    pub sqs: AwsSettings,
}

impl Settings {
    /// Reads all settings, with these secrets.
    ///
    /// # Errors
    /// The error names the missing variable.
    pub fn read(secrets: &Secrets) -> Result<Self, EnvError> {
        Ok(Self {
            app_secret: AppSecret::new(&secrets.required("WHATSAPP_APP_SECRET")?),
            verify_token: VerifyToken::new(secrets.required("WHATSAPP_VERIFY_TOKEN")?),
            queue: QueueSettings {
                url: env::required("INBOUND_QUEUE_URL")?,
                sqs: AwsSettings::from_env(aws::SQS_ENDPOINT)?,
            },
        })
    }
}
