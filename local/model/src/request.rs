//! The request's body, with OpenAI's checks.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::ApiError;

/// The roles of instructions: messages that are not part of the conversation.
const INSTRUCTIONS: [&str; 2] = ["system", "developer"];
/// The roles of the conversation.
const CONVERSATION: [&str; 2] = ["user", "assistant"];

/// A message of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `system`, `developer`, `user` or `assistant`.
    pub role: String,
    /// Its text; of several parts, one after the other.
    pub content: String,
}

/// A valid request.
pub(crate) struct Request {
    pub(crate) model: String,
    pub(crate) messages: Vec<Message>,
    /// The limit of the answer, in tokens.
    pub(crate) max_tokens: Option<u64>,
}

impl Message {
    /// Whether it is part of the conversation, and not of the instructions.
    pub(crate) fn is_said(&self) -> bool {
        CONVERSATION.contains(&&*self.role)
    }
}

pub(crate) fn parse(body: &Value) -> Result<Request, ApiError> {
    let body = body.as_object().ok_or_else(ApiError::unreadable)?;
    let model = match body.get("model") {
        Some(Value::String(model)) if !model.is_empty() => model.clone(),
        _ => return Err(ApiError::invalid("model", "you must provide a model parameter")),
    };
    if body.get("stream").is_some_and(|stream| *stream != false) {
        return Err(ApiError::invalid("stream", "this fake does not stream"));
    }
    let messages = match body.get("messages") {
        Some(Value::Array(messages)) if !messages.is_empty() => messages,
        _ => {
            return Err(ApiError::invalid(
                "messages",
                "Invalid 'messages': expected an array that is not empty.",
            ));
        }
    };
    let messages = messages.iter().map(message).collect::<Result<_, _>>()?;
    Ok(Request { model, messages, max_tokens: max_tokens(body)? })
}

fn message(message: &Value) -> Result<Message, ApiError> {
    let invalid = |message: &str| ApiError::invalid("messages", message);
    let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
    if !INSTRUCTIONS.contains(&role) && !CONVERSATION.contains(&role) {
        return Err(invalid("Invalid 'role': expected 'system', 'developer', 'user' or 'assistant'."));
    }
    let part = |part: &Value| match (part["type"].as_str(), part["text"].as_str()) {
        (Some("text"), Some(text)) => Ok(text.to_owned()),
        _ => Err(invalid("Invalid 'content': this fake reads parts of type 'text' only.")),
    };
    let content = match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(part).collect::<Result<_, _>>()?,
        _ => return Err(invalid("Invalid 'content': expected a string or an array of parts.")),
    };
    Ok(Message { role: role.to_owned(), content })
}

/// `max_completion_tokens`, or the older `max_tokens`, which most other servers read.
fn max_tokens(body: &Map<String, Value>) -> Result<Option<u64>, ApiError> {
    let limit = |name: &'static str| match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(limit) => match limit.as_u64() {
            Some(limit @ 1..) => Ok(Some(limit)),
            _ => Err(ApiError::invalid(name, format!("Invalid '{name}': expected an integer above 0."))),
        },
    };
    Ok(limit("max_completion_tokens")?.or(limit("max_tokens")?))
}
