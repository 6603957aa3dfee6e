//! The responder of `reply`, and what a language model has answered.

use local_stack::logs::Entry;
use local_stack::responder::Responder;
use local_stack::services::Services;
use serde::Serialize;
use serde_json::Value;

/// The message of a log line of `reply` about an answer of the language model.
const MODEL_ANSWERED: &str = "the model answered";

/// The responder, for display.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Selected {
    pub(crate) responder: Responder,
    /// The name of the language model for the responder `llm`.
    model: String,
    /// Whether that is the fake one.
    fake: bool,
}

/// An answer of the language model, from the logs.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct ModelAnswer {
    model: String,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    ms: Option<u64>,
    finish_reason: String,
}

impl Selected {
    pub(crate) fn of(services: &Services) -> Self {
        let model = services.model_server.model.clone();
        Self { responder: services.responder, model, fake: services.fake_model.is_some() }
    }
}

impl ModelAnswer {
    /// Reads a log line, if it is about an answer.
    pub(crate) fn read(entry: &Entry) -> Option<Self> {
        if entry.field("message") != MODEL_ANSWERED {
            return None;
        }
        let number = |name: &str| entry.fields.get(name).and_then(Value::as_u64);
        Some(Self {
            model: entry.field("model").to_owned(),
            input_tokens: number("input_tokens"),
            output_tokens: number("output_tokens"),
            ms: number("duration_ms"),
            finish_reason: entry.field("finish_reason").to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_and_time_are_read_from_the_line_of_an_answer() {
        let line = |message: &str| {
            let fields = json!({"level": "INFO", "message": message, "wamid": "wamid.1", "model": "fake-model",
                "input_tokens": 12, "output_tokens": 34, "duration_ms": 900, "finish_reason": "stop"});
            ModelAnswer::read(&Entry {
                function: "reply".into(),
                text: fields.to_string().into(),
                fields: fields.into(),
            })
        };
        let expected = json!({"model": "fake-model", "input_tokens": 12, "output_tokens": 34, "ms": 900,
            "finish_reason": "stop"});
        assert_eq!(json!(line("the model answered").expect("an answer")), expected);
        assert_eq!(line("reply sent"), None);
    }
}
