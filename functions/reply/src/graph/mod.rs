//! Sending through Meta's Graph API: `POST {graph}/{version}/{phone-number-id}/messages`.
//!
//! Source: “Messages API”, WhatsApp Business Platform documentation.

mod error;
mod version;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tracing::warn;

pub use error::{Class, GraphError, Rejection};
pub use version::{GRAPH_API_VERSION, GraphVersion};

use crate::incoming::Sender;

/// How long a send may take, connecting included.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Where and how to reach the Graph API.
#[derive(Clone, Debug)]
pub struct GraphSettings {
    /// `GRAPH_API_URL`: another address than Meta's, for a stand-in.
    pub url: GraphUrl,
    /// `GRAPH_API_VERSION`, or [`GRAPH_API_VERSION`].
    pub version: GraphVersion,
    /// `WHATSAPP_ACCESS_TOKEN`.
    pub access_token: SecretString,
}

/// The Graph API's address, `https://graph.facebook.com` by default.
#[derive(Clone, Debug)]
pub struct GraphUrl(Url);

/// The id of a business number: what the API calls `phone_number_id`, not the number itself.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PhoneNumberId(String);

/// A setting of the Graph API that cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// Not a URL that paths can be added to.
    #[error("expected a URL such as https://graph.facebook.com")]
    Url,
    /// Not `v` and two numbers.
    #[error("expected a version such as v25.0")]
    Version,
    /// Letters and digits are all that can be expected of an id.
    #[error("expected the phone number id from Meta's console, such as 106540352242922")]
    PhoneNumberId,
}

impl Default for GraphUrl {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "a constant, covered by a test")]
        Self(Url::parse("https://graph.facebook.com").expect("a URL"))
    }
}

impl FromStr for GraphUrl {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let url = Url::parse(text).map_err(|_| SettingError::Url)?;
        if matches!(url.scheme(), "http" | "https") { Ok(Self(url)) } else { Err(SettingError::Url) }
    }
}

impl FromStr for PhoneNumberId {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        // It becomes a part of the path: `..` and the like must not.
        let usable =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if usable { Ok(Self(text.to_owned())) } else { Err(SettingError::PhoneNumberId) }
    }
}

impl fmt::Display for PhoneNumberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text message to be sent.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// The business number that sends it.
    pub from: &'a PhoneNumberId,
    /// Who gets it.
    pub to: &'a Sender,
    /// 1 to 4096 characters.
    pub body: &'a str,
    /// The wamid of the message that it answers, shown above it as a quotation.
    pub quotes: Option<&'a str>,
}

#[derive(Serialize)]
struct SendRequest<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
    #[serde(rename = "type")]
    kind: &'static str,
    text: TextBody<'a>,
}

#[derive(Serialize)]
struct Context<'a> {
    message_id: &'a str,
}

#[derive(Serialize)]
struct TextBody<'a> {
    body: &'a str,
    preview_url: bool,
}

#[derive(Deserialize)]
struct SendResponse {
    messages: Vec<SentMessage>,
}

#[derive(Deserialize)]
struct SentMessage {
    id: String,
}

/// What sends answers: the Graph API, or a model of it.
pub trait Messenger: Send + Sync {
    /// Sends a text and returns its wamid, if Meta said one.
    ///
    /// There is no idempotency key: after [`GraphError::Lost`] nobody knows whether it was sent.
    ///
    /// # Errors
    /// See [`GraphError`].
    fn send(&self, text: &Text<'_>) -> impl Future<Output = Result<Option<String>, GraphError>> + Send;
}

/// A client of the Graph API.
#[derive(Clone, Debug)]
pub struct Graph {
    settings: GraphSettings,
    http: reqwest::Client,
}

impl Graph {
    /// A client that sends with `http`.
    #[must_use]
    pub fn new(settings: GraphSettings, http: reqwest::Client) -> Self {
        Self { settings, http }
    }

    fn messages_url(&self, from: &PhoneNumberId) -> Result<Url, GraphError> {
        let mut url = self.settings.url.0.clone();
        url.path_segments_mut().map_err(|()| GraphError::Unsendable)?.pop_if_empty().extend([
            self.settings.version.as_str(),
            &from.0,
            "messages",
        ]);
        Ok(url)
    }
}

impl Messenger for Graph {
    async fn send(&self, text: &Text<'_>) -> Result<Option<String>, GraphError> {
        let (to, recipient) = match text.to {
            Sender::Phone(digits) => (Some(digits.as_str()), None),
            // In `to` it would be accepted and silently dropped.
            Sender::UserId(id) => (None, Some(id.as_str())),
        };
        let request = SendRequest {
            messaging_product: "whatsapp",
            recipient_type: "individual",
            to,
            recipient,
            context: text.quotes.map(|message_id| Context { message_id }),
            kind: "text",
            text: TextBody { body: text.body, preview_url: false },
        };
        let sending = self
            .http
            .post(self.messages_url(text.from)?)
            .bearer_auth(self.settings.access_token.expose_secret())
            .timeout(SEND_TIMEOUT)
            .json(&request);
        let response = sending.send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        if !status.is_success() {
            return Err(GraphError::Rejected(Rejection::read(status.as_u16(), &body)));
        }
        match serde_json::from_slice::<SendResponse>(&body) {
            Ok(answer) => Ok(answer.messages.into_iter().next().map(|message| message.id)),
            Err(_) => {
                warn!(status = status.as_u16(), "sent, but the answer of the Graph API is not understood");
                Ok(None)
            }
        }
    }
}
