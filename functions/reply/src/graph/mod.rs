//! Sending through Meta's Graph API: `POST {graph}/{version}/{phone-number-id}/messages`.
//!
//! Source: “Messages API”, WhatsApp Business Platform documentation.

mod callback;
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
use shared::http;
use shared::lambda::counter::Counter;
use shared::lambda::metrics::timed;
use shared::lambda::trace;
use shared::meta::lenient::Object;
use shared::meta::sender::{Sender, UserId};
use shared::meta::wamid::Wamid;
use tracing::warn;

use idle::Idle;

pub use callback::Callback;
pub use error::{Class, Detail, GraphError, Rejection};
pub use idle::SHORTEST_IDLE;
pub use version::{GRAPH_API_VERSION, GraphVersion};

/// The timeout of a send, including the connection.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout of marking a message as read: the user is waiting for the reply.
pub const MARK_READ_TIMEOUT: Duration = Duration::from_secs(2);

/// The Graph API's URL and version, and the access token.
#[derive(Clone, Debug)]
pub struct GraphSettings {
    /// `GRAPH_API_URL`: a URL other than Meta's, for a fake.
    pub url: GraphUrl,
    /// `GRAPH_API_VERSION`, or [`GRAPH_API_VERSION`].
    pub version: GraphVersion,
    /// `WHATSAPP_ACCESS_TOKEN`.
    pub access_token: SecretString,
}

/// The Graph API's URL, `https://graph.facebook.com` by default.
#[derive(Clone, Debug)]
pub struct GraphUrl(Url);

/// The phone number id of a business number, as opposed to the number itself.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PhoneNumberId(String);

/// A setting of the Graph API that cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SettingError {
    /// Not a URL to which a path can be appended.
    #[error("expected a URL such as https://graph.facebook.com")]
    Url,
    /// Not `v` and two numbers.
    #[error("expected a version such as v25.0")]
    Version,
    /// Not an id of letters, digits, `_` and `-`.
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
        // It becomes a segment of a URL's path, where `..` or a slash would change the path.
        let usable =
            !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if usable { Ok(Self(text.to_owned())) } else { Err(SettingError::PhoneNumberId) }
    }
}

impl PhoneNumberId {
    /// Returns the id as Meta writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PhoneNumberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The recipient of a message.
#[derive(Clone, Copy)]
pub enum Recipient<'a> {
    /// A user: by number if it is known, else by user id.
    Person(&'a Sender),
    /// A group, by its id.
    Group(&'a str),
}

/// A text message to be sent.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    /// The business number that sends it.
    pub from: &'a PhoneNumberId,
    /// The recipient.
    pub to: Recipient<'a>,
    /// The text, of 1 to 4096 characters.
    pub body: &'a str,
    /// The wamid of the message that it answers, shown above it as a quotation.
    pub quotes: Option<&'a Wamid>,
    /// The data that Meta returns in every status of it.
    pub callback: Callback,
    /// The reply buttons below it, at most three. With any, the text has at most 1024 characters.
    pub buttons: &'a [Button<'a>],
}

/// A reply button. A tap on it is a message with its id and title.
#[derive(Clone, Copy, Debug)]
pub struct Button<'a> {
    /// The id, of at most 256 characters.
    pub id: &'a str,
    /// The title, of at most 20 characters.
    pub title: &'a str,
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
    biz_opaque_callback_data: Callback,
    #[serde(flatten)]
    content: MessageBody<'a>,
}

/// The type of a message, and its content under the type's name.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum MessageBody<'a> {
    Text { text: TextBody<'a> },
    Interactive { interactive: Interactive<'a> },
}

/// A read receipt for a received message.
#[derive(Clone, Copy)]
pub struct ReadReceipt<'a> {
    /// The business number that received it.
    pub by: &'a PhoneNumberId,
    /// The wamid of the message.
    pub wamid: &'a Wamid,
    /// Whether to show a typing indicator, for 25 s or until the reply arrives.
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

/// Source: “Interactive reply buttons messages”, WhatsApp Business Platform documentation.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Interactive<'a> {
    Button { body: InteractiveBody<'a>, action: Action<'a> },
}

#[derive(Serialize)]
struct InteractiveBody<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct Action<'a> {
    buttons: Vec<ReplyButton<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ReplyButton<'a> {
    Reply { reply: ButtonReply<'a> },
}

#[derive(Serialize)]
struct ButtonReply<'a> {
    id: &'a str,
    title: &'a str,
}

impl<'a> MessageBody<'a> {
    fn of(text: &Text<'a>) -> Self {
        if text.buttons.is_empty() {
            return Self::Text { text: TextBody { body: text.body, preview_url: false } };
        }
        let reply =
            |&Button { id, title }: &Button<'a>| ReplyButton::Reply { reply: ButtonReply { id, title } };
        let action = Action { buttons: text.buttons.iter().map(reply).collect() };
        let interactive = Interactive::Button { body: InteractiveBody { text: text.body }, action };
        Self::Interactive { interactive }
    }
}

/// Sends messages, implemented by the Graph API and by a model of it.
pub trait Messenger: Send + Sync {
    /// Sends a text and returns its wamid, if Meta returned one.
    ///
    /// There is no idempotency key: after [`GraphError::Lost`] it is unknown whether the text was sent.
    ///
    /// # Errors
    /// See [`GraphError`].
    fn send(&self, text: &Text<'_>) -> impl Future<Output = Result<Option<Wamid>, GraphError>> + Send;

    /// Marks a message as read.
    ///
    /// # Errors
    /// See [`GraphError`]. Nothing depends on it.
    fn mark_read(&self, receipt: &ReadReceipt<'_>) -> impl Future<Output = Result<(), GraphError>> + Send;
}

/// A client of the Graph API.
#[derive(Clone, Debug)]
pub struct Graph {
    settings: GraphSettings,
    http: reqwest::Client,
    idle: Idle,
}

impl Graph {
    /// Builds a client over `http`.
    #[must_use]
    pub fn new(settings: GraphSettings, http: reqwest::Client) -> Self {
        Self { settings, http, idle: Idle::with_limit(SHORTEST_IDLE) }
    }

    /// Returns the client with another idle time after which the peer may close a connection.
    #[must_use]
    pub fn closing_after(self, time: Duration) -> Self {
        Self { idle: Idle::with_limit(time), ..self }
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

    /// Builds a POST request to a business number's `messages` endpoint.
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

    /// Sends a request. It is repeated only after a failure on a connection that Meta had closed while it was idle, because
    /// such a request was not processed. See [`idle`].
    async fn send_once(&self, request: Request) -> Result<Response, GraphError> {
        let was_idle = self.idle.is_exceeded();
        let is_repeatable = |how| was_idle && how == http::How::ReusedConnectionBroke;
        Ok(http::send_while(&self.http, request, is_repeatable).await?)
    }

    /// Returns the body of a successful response.
    async fn body(&self, response: Response) -> Result<Vec<u8>, GraphError> {
        self.idle.reset();
        let status = response.status();
        let body = response.bytes().await?;
        if status.is_success() {
            Ok(body.to_vec())
        } else {
            Err(GraphError::Rejected(Rejection::read(status.as_u16(), &body)))
        }
    }
}

/// Returns the wamid of the sent message. (The response also has `contacts`, with the recipient's `wa_id` or `user_id`.)
fn sent_wamid(body: &[u8]) -> Option<Wamid> {
    let response = Object::of(serde_json::from_slice(body).ok());
    let message = response.list("messages").first().copied();
    Object::of(message).wamid("id")
}

impl Messenger for Graph {
    async fn send(&self, text: &Text<'_>) -> Result<Option<Wamid>, GraphError> {
        let (recipient_type, to, recipient) = match text.to {
            Recipient::Group(id) => ("group", Some(id.into()), None),
            Recipient::Person(sender) => match (sender.number(), sender.user_id()) {
                // Without its `+`, Meta may prepend the business's own country code. Source: “Phone numbers”,
                // WhatsApp Business Platform documentation.
                (Some(number), _) => ("individual", Some(number.e164().into()), None),
                // In `to`, Meta would accept a user id and silently drop the message.
                (None, user_id) => ("individual", None, user_id.map(UserId::as_str)),
            },
        };
        let request = SendRequest {
            messaging_product: "whatsapp",
            recipient_type,
            to,
            recipient,
            context: text.quotes.map(|message_id| Context { message_id }),
            biz_opaque_callback_data: text.callback,
            content: MessageBody::of(text),
        };
        let request = self.post(text.from, &request, SEND_TIMEOUT)?;
        let sending = async { self.body(self.send_once(request).await?).await };
        let body = timed("send_ms", sending).await?;
        let wamid = sent_wamid(&body);
        if wamid.is_none() {
            warn!(
                counter = Counter::UnnamedAnswers.name(),
                "message sent, but the Graph API's response has no wamid"
            );
        }
        Ok(wamid)
    }

    async fn mark_read(&self, receipt: &ReadReceipt<'_>) -> Result<(), GraphError> {
        let request = ReadReceiptRequest {
            messaging_product: "whatsapp",
            status: "read",
            message_id: receipt.wamid,
            typing_indicator: receipt.typing.then_some(TypingIndicator { kind: "text" }),
        };
        let request = self.post(receipt.by, &request, MARK_READ_TIMEOUT)?;
        self.body(http::send(&self.http, request).await?).await?;
        Ok(())
    }
}
