//! Validation of interactive messages with reply buttons.
//!
//! Source: Meta's Cloud API documentation, “Interactive reply buttons messages”: the lengths, and that ids and titles are
//! unique in a message.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;

use crate::error::GraphError;
use crate::fields::{object, required, text};

/// Maximum length of the body in characters. The minimum is 1.
const MAX_BODY_CHARACTERS: usize = 1024;
/// Maximum number of buttons. The minimum is 1.
const MAX_BUTTONS: usize = 3;
/// Maximum length of a title in characters. The minimum is 1.
const MAX_TITLE_CHARACTERS: usize = 20;
/// Maximum length of an id in characters. The minimum is 1.
const MAX_ID_CHARACTERS: usize = 256;

/// A reply button of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Button {
    /// The sender's id, which the webhook's `button_reply` repeats.
    pub id: String,
    /// The label.
    pub title: String,
}

/// Parses the value of `interactive`: the body's text and the buttons of a message with reply buttons. Other kinds of
/// interactive messages are not validated and have neither.
pub(crate) fn parse(content: &Value) -> Result<(Option<String>, Vec<Button>), GraphError> {
    let content = object(content, "interactive")?;
    match text(content, "type", "interactive['type']")?.as_deref() {
        Some("button") => {}
        Some(_) => return Ok((None, Vec::new())),
        None => return Err(GraphError::required("interactive['type']")),
    }
    let body = object(required(content, "body", "interactive['body']")?, "interactive['body']")?;
    let body = text(body, "text", "interactive['body']['text']")?
        .ok_or_else(|| GraphError::required("interactive['body']['text']"))?;
    length("Body text", &body, MAX_BODY_CHARACTERS)?;
    let action = object(required(content, "action", "interactive['action']")?, "interactive['action']")?;
    let buttons = required(action, "buttons", "interactive['action']['buttons']")?
        .as_array()
        .ok_or_else(|| GraphError::invalid("Param interactive['action']['buttons'] must be an array"))?;
    if !(1..=MAX_BUTTONS).contains(&buttons.len()) {
        return Err(GraphError::bad_value(format!(
            "Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: {MAX_BUTTONS}"
        )));
    }
    let buttons = buttons.iter().map(button).collect::<Result<Vec<_>, _>>()?;
    for (what, values) in [
        ("id", buttons.iter().map(|button| &button.id).collect::<HashSet<_>>()),
        ("title", buttons.iter().map(|button| &button.title).collect()),
    ] {
        if values.len() < buttons.len() {
            return Err(GraphError::bad_value(format!("Duplicated button {what}")));
        }
    }
    Ok((Some(body), buttons))
}

fn button(button: &Value) -> Result<Button, GraphError> {
    let name = |path: &str| format!("interactive['action']['buttons'][]{path}");
    let button = object(button, &name(""))?;
    if text(button, "type", &name("['type']"))?.as_deref() != Some("reply") {
        return Err(GraphError::invalid(format!("Param {} must be one of {{REPLY}}", name("['type']"))));
    }
    let reply = name("['reply']");
    let fields = object(required(button, "reply", &reply)?, &reply)?;
    let field = |key: &str| {
        let name = format!("{reply}['{key}']");
        text(fields, key, &name)?.ok_or_else(|| GraphError::required(&name))
    };
    let (id, title) = (field("id")?, field("title")?);
    length("Button id", &id, MAX_ID_CHARACTERS)?;
    length("Button title", &title, MAX_TITLE_CHARACTERS)?;
    if id.trim() != id {
        return Err(GraphError::bad_value("Button id must not begin or end with a space"));
    }
    Ok(Button { id, title })
}

fn length(what: &str, text: &str, max: usize) -> Result<(), GraphError> {
    if (1..=max).contains(&text.chars().count()) {
        return Ok(());
    }
    Err(GraphError::bad_value(format!("{what} length invalid. Min length: 1, Max length: {max}")))
}
