//! How a reply of the language model came about: `llm` in the column `payload` of its row.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// How a reply came about. What is unknown is left out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LlmDetails {
    /// The origin of the text.
    pub source: Origin,
    /// The model, as its server names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The tokens read, as its server counts them; with those of an answer that was not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// The tokens written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// The time that the model took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// The reason for the end of the text: `stop`, `length`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
}

/// The origin of a reply.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The model.
    Model,
    /// `LLM_FALLBACK_TEXT`: the model gave no usable answer.
    Fallback,
    /// `LLM_LIMIT_TEXT`: a daily limit was reached.
    Limit,
}

impl From<Origin> for LlmDetails {
    /// Returns details of which only the source is known.
    fn from(source: Origin) -> Self {
        Self { source, model: None, input_tokens: None, output_tokens: None, ms: None, finish_reason: None }
    }
}

impl LlmDetails {
    /// Returns the column `payload` of the reply's row.
    #[must_use]
    pub fn payload(&self) -> Option<String> {
        #[derive(Serialize)]
        struct Payload<'a> {
            llm: &'a LlmDetails,
        }
        serde_json::to_string(&Payload { llm: self }).ok()
    }
}

/// Reads details; those of another version that this one cannot read count as absent.
pub(crate) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LlmDetails>, D::Error> {
    let raw = Option::<Box<RawValue>>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}
