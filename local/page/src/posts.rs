//! Every POST to the webhook, from the page or elsewhere, as observed at the gateway.

use std::time::Duration;

use axum::http::HeaderMap;
use chrono::Utc;
use reply::delivery::Work;
use reply::incoming::{Content, Incoming, MessageEvent};
use secrecy::SecretString;
use serde_json::Value;
use shared::meta::lenient::Object;
use shared::meta::sender::Sender;
use webhook::entry::Entry;
use webhook::payload::{self, Kind};
use webhook::readable::Readable;
use webhook::signature::{self, AppSecret, SignatureError};

use local_stack::services::APP_SECRET;

/// A POST, read as `webhook` and `reply` read it.
#[derive(Debug)]
pub(crate) struct Post {
    /// `valid`, `missing` or `invalid`.
    pub(crate) signature: &'static str,
    pub(crate) messages: Vec<Posted>,
    pub(crate) statuses: Vec<Status>,
}

/// A user's message.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) wamid: String,
    pub(crate) sender: Option<Sender>,
    /// The sender's profile name.
    pub(crate) name: Option<String>,
    pub(crate) kind: String,
    /// The text as in the history.
    pub(crate) text: String,
    pub(crate) quotes: Option<String>,
    /// The target of a reaction, an edit or a revoke.
    pub(crate) refers_to: Option<String>,
    /// A reaction's emoji.
    pub(crate) emoji: Option<String>,
}

/// A status of a message of the business.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) wamid: String,
    pub(crate) name: String,
    pub(crate) error: Option<String>,
}

impl Post {
    pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let header = headers.get(signature::HEADER).map(|value| value.to_str().unwrap_or_default());
        let signature = match AppSecret::new(&SecretString::from(APP_SECRET)).verify(body, header) {
            Ok(()) => "valid",
            Err(SignatureError::Missing) => "missing",
            Err(_) => "invalid",
        };
        let mut post = Self { signature, messages: Vec::new(), statuses: Vec::new() };
        let body = Readable::of(body);
        let updates = payload::read(&body);
        let entries = Entry::all(&updates, Utc::now()).unwrap_or_default();
        for (update, entry) in updates.iter().zip(entries) {
            match Work::read(&entry.body) {
                Ok(Work::Answer(message)) => post.messages.extend(Posted::new(*message, &update.kind)),
                Ok(Work::MessageEvent(event)) => post.messages.extend(Posted::of_event(event, &update.kind)),
                Ok(Work::Status(status)) => {
                    let (wamid, name, error) = (status.wamid.into(), status.name, status.error_text);
                    post.statuses.push(Status { wamid, name, error });
                }
                _ => {}
            }
        }
        post
    }

    /// Whether Meta's signature is valid.
    pub(crate) fn is_signed(&self) -> bool {
        self.signature == "valid"
    }
}

impl Posted {
    /// `None` for a message without a wamid, which cannot be tracked.
    fn new(message: Incoming, kind: &Kind<'_>) -> Option<Self> {
        let raw = match kind {
            Kind::Message { message, .. } => serde_json::from_str(message.get()).unwrap_or_default(),
            _ => Value::Null,
        };
        Some(Self {
            wamid: message.key.wamid()?.as_str().to_owned(),
            sender: Some(message.sender),
            name: message.sender_name,
            text: message.content.text(&message.kind),
            quotes: message.quotes.map(Into::into),
            refers_to: message.content.refers_to().cloned().map(Into::into),
            emoji: raw.pointer("/reaction/emoji").and_then(Value::as_str).map(str::to_owned),
            kind: message.kind,
        })
    }

    /// A user's message that is stored as an event.
    fn of_event(kept: MessageEvent, kind: &Kind<'_>) -> Option<Self> {
        let Kind::Message { sender, contact, message, .. } = kind else { return None };
        let (_, content) = Content::read(&Object::of(Some(message)));
        Some(Self {
            wamid: kept.wamid?.into(),
            sender: sender.clone(),
            name: Object::of(*contact).object("profile").string("name"),
            text: content.text(&kept.kind),
            quotes: None,
            refers_to: content.refers_to().cloned().map(Into::into),
            emoji: None,
            kind: kept.kind,
        })
    }
}

/// Milliseconds, rounded to a tenth.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
