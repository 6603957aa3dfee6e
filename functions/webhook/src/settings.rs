//! What `webhook` reads from its environment and its secrets.

use shared::aws::{self, AwsSettings};
use shared::env::{self, EnvError};
use shared::secrets::Secrets;

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
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// `INBOUND_QUEUE_URL`.
    pub url: String,
    /// How to reach SQS.
    pub sqs: AwsSettings,
}

impl Settings {
    /// Reads all settings, with these secrets.
    ///
    /// # Errors
    /// Names the variable that is missing.
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
