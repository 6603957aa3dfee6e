//! Validation of requests to `…/messages`.
//!
//! Source: Meta's Cloud API reference, "Messages", and its OpenAPI description (v23.0); for
//! business-scoped user ids, "Business-scoped user IDs" of the same documentation.

use serde_json::{Map, Value};

use crate::buttons::{self, Button};
use crate::error::GraphError;
use crate::fields::{object, text};

/// Maximum length of a text body in characters, here Unicode scalar values. The minimum is 1.
const MAX_TEXT_CHARACTERS: usize = 4096;
/// Maximum length of `biz_opaque_callback_data` in bytes.
const MAX_CALLBACK_DATA_BYTES: usize = 512;
/// Digits of the longest phone number (ITU-T E.164).
const MAX_PHONE_DIGITS: usize = 15;
/// Maximum length of a business-scoped user id in characters. Meta documents about 135.
const MAX_USER_ID_CHARACTERS: usize = 200;

/// Types of messages that can be sent. Only text and reply buttons are validated in detail.
const TYPES: [&str; 11] = [
    "audio",
    "contacts",
    "document",
    "image",
    "interactive",
    "location",
    "reaction",
    "sticker",
    "template",
    "text",
    "video",
];

/// A valid request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Send(Send),
    Read { message_id: String, typing: bool },
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Send {
    pub(crate) address: Address,
    pub(crate) to: Option<String>,
    pub(crate) recipient: Option<String>,
    pub(crate) kind: String,
    pub(crate) body: Option<String>,
    pub(crate) buttons: Vec<Button>,
    pub(crate) quotes: Option<String>,
    pub(crate) callback_data: Option<String>,
}

/// Recipient of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A phone number, with or without `+`.
    Phone(String),
    /// A business-scoped user id, in `recipient`.
    User(String),
    /// A group's id.
    Group(String),
    /// A business-scoped user id in `to`: Meta responds with success and delivers nothing.
    Nowhere(String),
}

impl Address {
    /// As written in the request.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Phone(text) | Self::User(text) | Self::Group(text) | Self::Nowhere(text) => text,
        }
    }
}

/// Parses and validates a request body.
pub(crate) fn parse(body: &Value) -> Result<Request, GraphError> {
    let body = body.as_object().ok_or_else(|| GraphError::required("messaging_product"))?;
    match body.get("messaging_product").and_then(Value::as_str) {
        Some("whatsapp") => {}
        Some(_) => return Err(GraphError::invalid("Param messaging_product must be one of {WHATSAPP}")),
        None => return Err(GraphError::required("messaging_product")),
    }
    if body.contains_key("status") { parse_read(body) } else { parse_send(body).map(Request::Send) }
}

fn parse_read(body: &Map<String, Value>) -> Result<Request, GraphError> {
    if body["status"] != "read" {
        return Err(GraphError::invalid("Param status must be one of {READ}"));
    }
    let message_id =
        text(body, "message_id", "message_id")?.ok_or_else(|| GraphError::required("message_id"))?;
    let typing = match body.get("typing_indicator") {
        None | Some(Value::Null) => false,
        Some(indicator) if indicator["type"] == "text" => true,
        Some(_) => return Err(GraphError::invalid("Param typing_indicator['type'] must be one of {TEXT}")),
    };
    Ok(Request::Read { message_id, typing })
}

fn parse_send(body: &Map<String, Value>) -> Result<Send, GraphError> {
    let to = text(body, "to", "to")?;
    let recipient = text(body, "recipient", "recipient")?;
    let address =
        address(text(body, "recipient_type", "recipient_type")?, to.as_deref(), recipient.as_deref())?;
    let kind = text(body, "type", "type")?.unwrap_or_else(|| "text".to_owned());
    if !TYPES.contains(&kind.as_str()) {
        return Err(GraphError::invalid("Param type must be one of the documented message types"));
    }
    let content = body.get(&kind).ok_or_else(|| {
        GraphError::missing_value(format!("Parameter '{kind}' is mandatory for type '{kind}'"))
    })?;
    let (body_text, buttons) = match kind.as_str() {
        "text" => (Some(text_body(content)?), Vec::new()),
        "interactive" => buttons::parse(content)?,
        _ => (None, Vec::new()),
    };
    let callback_data = text(body, "biz_opaque_callback_data", "biz_opaque_callback_data")?;
    if callback_data.as_ref().is_some_and(|data| data.len() > MAX_CALLBACK_DATA_BYTES) {
        return Err(GraphError::invalid("Param biz_opaque_callback_data must be at most 512 bytes long"));
    }
    Ok(Send { address, to, recipient, kind, body: body_text, buttons, quotes: quotes(body)?, callback_data })
}

fn address(kind: Option<String>, to: Option<&str>, recipient: Option<&str>) -> Result<Address, GraphError> {
    match (kind.as_deref().unwrap_or("individual"), to, recipient) {
        ("individual", Some(to), _) if is_phone_number(to) => Ok(Address::Phone(to.to_owned())),
        ("individual", Some(to), None) if to.contains('.') && is_user_id(to) => {
            Ok(Address::Nowhere(to.to_owned()))
        }
        ("individual", None, Some(id)) if is_user_id(id) => Ok(Address::User(id.to_owned())),
        ("group", Some(to), None) if !to.is_empty() => Ok(Address::Group(to.to_owned())),
        ("individual" | "group", None, None) => Err(GraphError::required("to")),
        ("individual" | "group", Some(_), _) => Err(GraphError::bad_value("Parameter 'to' is not valid")),
        ("individual" | "group", None, Some(_)) => {
            Err(GraphError::bad_value("Parameter 'recipient' is not a business-scoped user ID"))
        }
        _ => Err(GraphError::invalid("Param recipient_type must be one of {INDIVIDUAL, GROUP}")),
    }
}

fn text_body(content: &Value) -> Result<String, GraphError> {
    let content = object(content, "text")?;
    if let Some(key) = content.keys().find(|key| !matches!(key.as_str(), "body" | "preview_url")) {
        return Err(GraphError::invalid(format!("Unexpected key \"{key}\" on param \"text\"")));
    }
    if content.get("preview_url").is_some_and(|value| !value.is_boolean()) {
        return Err(GraphError::invalid("Param text['preview_url'] must be a boolean"));
    }
    let body = text(content, "body", "text['body']")?
        .ok_or_else(|| GraphError::missing_value("Parameter 'body' is mandatory for type 'text'"))?;
    match body.chars().count() {
        0 => Err(GraphError::invalid("Param text['body'] must be at least 1 character long")),
        1..=MAX_TEXT_CHARACTERS => Ok(body),
        _ => Err(GraphError::invalid("Param text['body'] must be at most 4096 characters long")),
    }
}

fn quotes(body: &Map<String, Value>) -> Result<Option<String>, GraphError> {
    match body.get("context") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(context)) => match text(context, "message_id", "context['message_id']")? {
            Some(id) if id.is_empty() => Err(GraphError::bad_value("Param context['message_id'] is empty")),
            Some(id) => Ok(Some(id)),
            None => Err(GraphError::invalid("Param context['message_id'] is required")),
        },
        Some(_) => Err(GraphError::invalid("Param context must be a JSON object")),
    }
}

/// Digits, with or without `+`. (Meta also removes spaces and punctuation; a program should not send any.)
fn is_phone_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (1..=MAX_PHONE_DIGITS).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `US.13491208655302741918`, `US.ENT.11815799212886844830` of a parent business, and older formats:
/// `user.9373795779eb`, digits. Meta documents the first two and delivers to the others.
fn is_user_id(text: &str) -> bool {
    (1..=MAX_USER_ID_CHARACTERS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && text.bytes().any(|byte| byte.is_ascii_digit())
}
