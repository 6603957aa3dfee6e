//! Webhook payloads of people who write to the business number of the samples.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use local_graph::Button;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::services::PHONE_NUMBER_ID;

/// The business number of Meta's samples, as people see it: digits.
pub const DISPLAY_PHONE_NUMBER: &str = "15550783881";

/// Returns the payload whose `value` has these fields, beside those about the business number.
#[must_use]
pub fn payload(content: &Value) -> Vec<u8> {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": DISPLAY_PHONE_NUMBER, "phone_number_id": PHONE_NUMBER_ID},
    });
    if let (Some(value), Some(content)) = (value.as_object_mut(), content.as_object()) {
        value.extend(content.clone());
    }
    let changes = json!([{"value": value, "field": "messages"}]);
    let entry = json!([{"id": "102290129340398", "changes": changes}]);
    json!({"object": "whatsapp_business_account", "entry": entry}).to_string().into_bytes()
}

/// Returns a text message, without its sender, id and time.
#[must_use]
pub fn text(body: &str) -> Value {
    json!({"type": "text", "text": {"body": body}})
}

/// Returns the message that a tap on a reply button sends, without its sender, id and time. `question` is the wamid of
/// the message with the button.
#[must_use]
pub fn tap(question: &str, button: &Button) -> Value {
    json!({
        "type": "interactive",
        "interactive": {"type": "button_reply", "button_reply": button},
        "context": {"from": DISPLAY_PHONE_NUMBER, "id": question},
    })
}

/// Returns a new wamid.
#[must_use]
pub fn wamid() -> String {
    let random = [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat();
    format!("wamid.{}", STANDARD.encode(&random[..30]))
}
