//! Message attributes, and the MD5 digests in the responses.
//!
//! Digest: SQS Developer Guide, "Calculating the MD5 message digest for message attributes".

use std::collections::BTreeMap;
use std::fmt::Write;

use md5::{Digest, Md5};

use crate::characters;
use crate::error::{Result, SqsError};

/// Maximum number of attributes per message (SQS Developer Guide, "Message quotas").
const MAXIMUM_ATTRIBUTES: usize = 10;

/// Attributes by name, sorted as the digest requires.
pub type MessageAttributes = BTreeMap<String, AttributeValue>;

/// The value of a message attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeValue {
    /// `String`, `Number` or `Binary`, optionally with a custom label: `Number.float`.
    pub data_type: String,
    /// The value itself.
    pub content: AttributeContent,
}

/// Content of an attribute by its transport type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeContent {
    /// For the types `String` and `Number`.
    Text(String),
    /// For the type `Binary`.
    Binary(Vec<u8>),
}

impl AttributeContent {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Lower-case hexadecimal MD5 of `bytes`.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// The digest of attributes, `None` when there are none.
pub(crate) fn md5_of_attributes<'a>(
    attributes: impl IntoIterator<Item = (&'a String, &'a AttributeValue)>,
) -> Option<String> {
    let mut hasher = Md5::new();
    let mut any = false;
    for (name, value) in attributes {
        any = true;
        update_with_length(&mut hasher, name.as_bytes());
        update_with_length(&mut hasher, value.data_type.as_bytes());
        hasher.update(match value.content {
            AttributeContent::Text(_) => [1],
            AttributeContent::Binary(_) => [2],
        });
        update_with_length(&mut hasher, value.content.bytes());
    }
    any.then(|| hex(&hasher.finalize()))
}

fn update_with_length(hasher: &mut Md5, bytes: &[u8]) {
    // A message is at most 1 MiB: the length always fits.
    hasher.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    hasher.update(bytes);
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Size of the attributes in the message: names, types and values.
pub(crate) fn size(attributes: &MessageAttributes) -> usize {
    attributes
        .iter()
        .map(|(name, value)| name.len() + value.data_type.len() + value.content.bytes().len())
        .sum()
}

/// Checks names, types and values.
pub(crate) fn validate(attributes: &MessageAttributes) -> Result<()> {
    if attributes.len() > MAXIMUM_ATTRIBUTES {
        return Err(SqsError::InvalidParameterValue(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MAXIMUM_ATTRIBUTES}].",
            attributes.len()
        )));
    }
    for (name, value) in attributes {
        validate_name(name)?;
        let kind = value.data_type.split('.').next().unwrap_or_default();
        let fits = match &value.content {
            AttributeContent::Text(_) => matches!(kind, "String" | "Number"),
            AttributeContent::Binary(_) => kind == "Binary",
        };
        if !fits || value.data_type.len() > 256 {
            return Err(SqsError::InvalidParameterValue(format!(
                "The message attribute '{name}' has an invalid message attribute type, the set of supported type \
                 prefixes is Binary, Number, and String."
            )));
        }
        if value.content.bytes().is_empty() {
            return Err(SqsError::InvalidParameterValue(format!(
                "Message attribute '{name}' must contain a non-empty value of type '{kind}'."
            )));
        }
        if let AttributeContent::Text(text) = &value.content {
            if kind == "Number" && text.parse::<f64>().is_err() {
                return Err(SqsError::InvalidParameterValue(format!(
                    "Can't cast the value of message attribute '{name}' to a number."
                )));
            }
            characters::validate(text)?;
        }
    }
    Ok(())
}

fn validate_name(name: &str) -> Result<()> {
    let lower = name.to_ascii_lowercase();
    let allowed = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
    let reserved = lower.starts_with("aws.") || lower.starts_with("amazon.");
    if name.is_empty() || name.len() > 256 || !allowed || dots || reserved {
        return Err(SqsError::InvalidParameterValue(format!(
            "The message attribute name '{name}' is invalid."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected digest computed by moto for the same attribute.
    #[test]
    fn attribute_digest_covers_names_types_and_values_in_order() {
        let text = |data_type: &str, value: &str| AttributeValue {
            data_type: data_type.into(),
            content: AttributeContent::Text(value.into()),
        };
        let attributes = MessageAttributes::from([(
            "timestamp".to_string(),
            text("Number.java.lang.Long", "1493147359900"),
        )]);
        assert_eq!(md5_of_attributes(&attributes).as_deref(), Some("2e2e4876d8e0bd6b8c2c8f556831c349"));
    }

    #[test]
    fn reserved_attribute_names_are_rejected() {
        for name in ["AWS.x", "amazon.x", ".x", "x.", "a..b", "", "é"] {
            assert!(validate_name(name).is_err(), "{name}");
        }
        for name in ["x", "a.b-c_d", "aws"] {
            assert!(validate_name(name).is_ok(), "{name}");
        }
    }
}
