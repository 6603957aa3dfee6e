//! Settings of `reply`, from its environment variables and its secrets.

use shared::lambda::env::{self, EnvError};
use shared::lambda::secrets::Secrets;
use shared::supabase::{ApiKey, ProjectUrl};

use shared::aws::{self, AwsSettings};

use crate::graph::{GraphSettings, PhoneNumberId};
use crate::llm::settings::LlmSettings;
use crate::queues::QueueSettings;
use crate::read_receipts::ReadReceipts;
use crate::responders::ResponderName;
use crate::turns::Window;

/// The default text sent to an unlinked sender, without `WHATSAPP_REGISTRATION_TEXT`.
pub const REGISTRATION_TEXT: &str = "This WhatsApp is not linked to an account yet. Sign in to the app, choose to \
    link WhatsApp, and send the message that the app prepares.";

/// All settings.
#[derive(Debug)]
pub struct Settings {
    /// How to reach Meta.
    pub graph: GraphSettings,
    /// `WHATSAPP_PHONE_NUMBER_ID`: the business number that answers messages without a phone number id.
    pub phone_number_id: PhoneNumberId,
    /// `REPLY_RESPONDER`: `echo`, `llm` or `silent`.
    pub responder: ResponderSettings,
    /// `WHATSAPP_REGISTRATION_TEXT`, or [`REGISTRATION_TEXT`].
    pub registration_text: String,
    /// `WHATSAPP_READ_RECEIPTS`: `off`, `read` or `typing`.
    pub read_receipts: ReadReceipts,
    /// `WHATSAPP_ANSWER_GROUPS`: `true` or `false`.
    pub answers_groups: bool,
    /// `REPLY_WINDOW`: milliseconds, 0 by default.
    pub window: Window,
    /// The queues that feed it.
    pub queues: QueueSettings,
    /// `SUPABASE_URL`.
    pub supabase_url: ProjectUrl,
    /// `SUPABASE_SECRET_KEY`: a secret key, or the older `service_role` key.
    pub supabase_key: ApiKey,
}

/// The responder and its settings.
#[derive(Debug)]
pub enum ResponderSettings {
    /// It has none.
    Echo,
    /// A language model.
    Llm(Box<LlmSettings>),
    /// It has none.
    Silent,
}

impl ResponderSettings {
    fn read(secrets: &Secrets) -> Result<Self, EnvError> {
        Ok(match env::optional_parsed("REPLY_RESPONDER")?.unwrap_or_default() {
            ResponderName::Echo => Self::Echo,
            ResponderName::Llm => Self::Llm(Box::new(LlmSettings::read(secrets)?)),
            ResponderName::Silent => Self::Silent,
        })
    }
}

impl Settings {
    /// Reads all settings, with these secrets.
    ///
    /// # Errors
    /// Names the variable that is missing or unusable.
    pub fn read(secrets: &Secrets) -> Result<Self, EnvError> {
        let supabase_key = usable(secrets.parsed("SUPABASE_SECRET_KEY")?)?;
        Ok(Self {
            graph: GraphSettings {
                url: env::optional_parsed("GRAPH_API_URL")?.unwrap_or_default(),
                version: env::optional_parsed("GRAPH_API_VERSION")?.unwrap_or_default(),
                access_token: secrets.required("WHATSAPP_ACCESS_TOKEN")?,
            },
            queues: QueueSettings {
                inbound_url: env::required("INBOUND_QUEUE_URL")?,
                inbound_dead_letters_url: env::required("INBOUND_DEAD_LETTERS_URL")?,
                records_url: env::required("RECORD_QUEUE_URL")?,
                record_dead_letters_url: env::required("RECORD_DEAD_LETTERS_URL")?,
                sqs: AwsSettings::from_env(aws::SQS_ENDPOINT)?,
            },
            phone_number_id: env::parsed("WHATSAPP_PHONE_NUMBER_ID")?,
            responder: ResponderSettings::read(secrets)?,
            registration_text: env::optional("WHATSAPP_REGISTRATION_TEXT")?
                .unwrap_or_else(|| REGISTRATION_TEXT.to_owned()),
            read_receipts: env::optional_parsed("WHATSAPP_READ_RECEIPTS")?.unwrap_or_default(),
            answers_groups: env::optional_parsed("WHATSAPP_ANSWER_GROUPS")?.unwrap_or_default(),
            window: env::optional_parsed("REPLY_WINDOW")?.unwrap_or_default(),
            supabase_url: env::parsed("SUPABASE_URL")?,
            supabase_key,
        })
    }
}

/// Accepts a key that bypasses row-level security. A publishable key of either kind does not.
fn usable(key: ApiKey) -> Result<ApiKey, EnvError> {
    if !key.is_publishable() {
        return Ok(key);
    }
    let reason = "it is a publishable key or the anon key; rows are written with a secret key (sb_secret_…) or the \
        service_role key";
    Err(EnvError::Unusable { name: "SUPABASE_SECRET_KEY", reason: reason.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publishable_key_of_either_kind_is_refused() {
        // {"role":"anon"} and {"role":"service_role"}
        let (anon, service_role) = ("eyJ9.eyJyb2xlIjoiYW5vbiJ9.x", "eyJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.x");
        for (key, is_usable) in
            [("sb_secret_k", true), (service_role, true), ("sb_publishable_k", false), (anon, false)]
        {
            assert_eq!(usable(key.parse().expect("a key")).is_ok(), is_usable, "{key}");
        }
    }
}
