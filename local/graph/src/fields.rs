//! The fields of a request's body.

use serde_json::{Map, Value};

use crate::error::GraphError;

/// A JSON object; `name` is its name in error messages.
pub(crate) fn object<'a>(value: &'a Value, name: &str) -> Result<&'a Map<String, Value>, GraphError> {
    value.as_object().ok_or_else(|| GraphError::invalid(format!("Param {name} must be a JSON object")))
}

/// A field that must be there.
pub(crate) fn required<'a>(
    object: &'a Map<String, Value>,
    key: &str,
    name: &str,
) -> Result<&'a Value, GraphError> {
    object.get(key).ok_or_else(|| GraphError::required(name))
}

/// A string, or `None` if absent or null.
pub(crate) fn text(object: &Map<String, Value>, key: &str, name: &str) -> Result<Option<String>, GraphError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(GraphError::invalid(format!("Param {name} must be a string"))),
    }
}
