//! Sending through Meta's Graph API: `POST {graph}/{version}/{phone-number-id}/messages`.
//!
//! Source: “Messages API”, WhatsApp Business Platform documentation.

mod error;
mod idle;
mod version;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reqwest::{Request, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::counter::Counter;
use shared::http;
use shared::lenient::Object;
use shared::metrics::timed;
use shared::sender::{Sender, UserId};
use shared::trace;
use shared::wamid::Wamid;
use tracing::warn;

use idle::Idle;

pub use error::{Class, Detail, GraphError, Rejection};
pub use idle::SHORTEST_IDLE;
pub use version::{GRAPH_API_VERSION, GraphVersion};

/// How long a send may take, connecting included.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// How long marking a message as read may take: the person is waiting for the answer.
pub const MARK_READ_TIMEOUT: Duration = Duration::from_secs(2);

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

/// Who gets a message.
#[derive(Clone, Copy)]
pub enum Recipient<'a> {
    /// A person: by number if it is known, else by user id.
    Person(&'a Sender),
    /// Everybody in a group, by its id.
    Group(&'a str),
}

/// A text message to be sent.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// The business number that sends it.
    pub from: &'a PhoneNumberId,
    /// Who gets it.
    pub to: Recipient<'a>,
    /// 1 to 4096 characters.
    pub body: &'a str,
    /// The wamid of the message that it answers, shown above it as a quotation.
    pub quotes: Option<&'a Wamid>,
}

#[derive(Serialize)]
struct SendRequest<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipient: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
    #[serde(rename = "type")]
    kind: &'static str,
    text: TextBody<'a>,
}

/// A received message to be marked as read.
#[derive(Clone, Copy)]
pub struct ReadReceipt<'a> {
    /// The business number that received it.
    pub by: &'a PhoneNumberId,
    /// Its wamid.
    pub wamid: &'a Wamid,
    /// Whether the phone shows that an answer is being written, for 25 s or until it comes.
    pub typing: bool,
}

#[derive(Serialize)]
struct ReadReceiptRequest<'a> {
    messaging_product: &'static str,
    status: &'static str,
    message_id: &'a Wamid,
    #[serde(skip_serializing_if = "Option::is_none")]
    typing_indicator: Option<TypingIndicator>,
}

#[derive(Serialize)]
struct TypingIndicator {
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Context<'a> {
    message_id: &'a Wamid,
}

#[derive(Serialize)]
struct TextBody<'a> {
    body: &'a str,
    preview_url: bool,
}

/// What sends answers: the Graph API, or a model of it.
pub trait Messenger: Send + Sync {
    /// Sends a text and returns its wamid, if Meta said one.
    ///
    /// There is no idempotency key: after [`GraphError::Lost`] it is unknown whether it was sent.
    ///
    /// # Errors
    /// See [`GraphError`].
    fn send(&self, text: &Text<'_>) -> impl Future<Output = Result<Option<Wamid>, GraphError>> + Send;

    /// Marks a message as read.
    ///
    /// # Errors
    /// See [`GraphError`]. Nothing depends on it.
    fn mark_read(&self, seen: &ReadReceipt<'_>) -> impl Future<Output = Result<(), GraphError>> + Send;
}

/// A client of the Graph API.
#[derive(Clone, Debug)]
pub struct Graph {
    settings: GraphSettings,
    http: reqwest::Client,
    idle: Idle,
}

impl Graph {
    /// A client that sends with `http`.
    #[must_use]
    pub fn new(settings: GraphSettings, http: reqwest::Client) -> Self {
        Self { settings, http, idle: Idle::longer_than(SHORTEST_IDLE) }
    }

    /// The same, for peers that close connections which have been idle for longer than `time`.
    #[must_use]
    pub fn closing_after(self, time: Duration) -> Self {
        Self { idle: Idle::longer_than(time), ..self }
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

    /// A post to a number's messages.
    fn post(
        &self,
        number: &PhoneNumberId,
        content: &impl Serialize,
        timeout: Duration,
    ) -> Result<Request, GraphError> {
        let request = self
            .http
            .post(self.messages_url(number)?)
            .bearer_auth(self.settings.access_token.expose_secret())
            .timeout(timeout)
            .json(content);
        let request = match trace::current() {
            Some(trace) => request.header(trace::HEADER, trace),
            None => request,
        };
        Ok(request.build()?)
    }

    /// Sends a request, and again only when it met a connection that Meta had closed while it was idle: that one was not
    /// taken. See [`idle`].
    async fn send_once(&self, request: Request) -> Result<Response, GraphError> {
        let was_idle = self.idle.is_long();
        let repeats = |how| was_idle && how == http::How::KeptConnectionBroke;
        Ok(http::send_while(&self.http, request, repeats).await?)
    }

    /// The body of an answer that says success.
    async fn body(&self, response: Response) -> Result<Vec<u8>, GraphError> {
        self.idle.ends();
        let status = response.status();
        let body = response.bytes().await?;
        if status.is_success() {
            Ok(body.to_vec())
        } else {
            Err(GraphError::Rejected(Rejection::read(status.as_u16(), &body)))
        }
    }
}

/// The id of the message that was sent. (Beside it stand `contacts`, with `wa_id` or `user_id`: whom it went to.)
fn sent_wamid(body: &[u8]) -> Option<Wamid> {
    let answer = Object::of(serde_json::from_slice(body).ok());
    let message = answer.list("messages").first().copied();
    Object::of(message).wamid("id")
}

impl Messenger for Graph {
    async fn send(&self, text: &Text<'_>) -> Result<Option<Wamid>, GraphError> {
        let (recipient_type, to, recipient) = match text.to {
            Recipient::Group(id) => ("group", Some(id.into()), None),
            Recipient::Person(sender) => match (sender.number(), sender.user_id()) {
                // Without its `+`, the business's own country code may be put before it. Source: “Phone numbers”,
                // WhatsApp Business Platform documentation.
                (Some(number), _) => ("individual", Some(number.e164().into()), None),
                // In `to` it would be accepted and silently dropped.
                (None, user_id) => ("individual", None, user_id.map(UserId::as_str)),
            },
        };
        let request = SendRequest {
            messaging_product: "whatsapp",
            recipient_type,
            to,
            recipient,
            context: text.quotes.map(|message_id| Context { message_id }),
            kind: "text",
            text: TextBody { body: text.body, preview_url: false },
        };
        let request = self.post(text.from, &request, SEND_TIMEOUT)?;
        let sending = async { self.body(self.send_once(request).await?).await };
        let body = timed("send_ms", sending).await?;
        let wamid = sent_wamid(&body);
        if wamid.is_none() {
            warn!(
                counter = Counter::UnnamedAnswers.name(),
                "sent, but the Graph API's answer does not say its id"
            );
        }
        Ok(wamid)
    }

    async fn mark_read(&self, seen: &ReadReceipt<'_>) -> Result<(), GraphError> {
        let request = ReadReceiptRequest {
            messaging_product: "whatsapp",
            status: "read",
            message_id: seen.wamid,
            typing_indicator: seen.typing.then_some(TypingIndicator { kind: "text" }),
        };
        let request = self.post(seen.by, &request, MARK_READ_TIMEOUT)?;
        self.body(http::send(&self.http, request).await?).await?;
        Ok(())
    }
}
