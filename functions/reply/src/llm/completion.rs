//! Lenient reading of the response of `chat/completions`.

use serde_json::value::RawValue;
use shared::meta::lenient::{self, Object};

use super::error::ModelError;
use super::model::{Completion, Usage};

/// The reasoning that some servers leave in front of the answer.
const REASONING: (&str, &str) = ("<think>", "</think>");

/// Reads the body of a successful response. Only the text must be there.
///
/// # Errors
/// When the answer is a refusal, filtered, empty or unreadable, or the body holds an error: OpenRouter returns 200 when a
/// provider fails after it has begun, with the error in the root or in the choice (“Errors and Debugging”, OpenRouter
/// documentation, 2026).
pub(super) fn read(body: &[u8]) -> Result<Completion, ModelError> {
    let Ok(body) = serde_json::from_slice::<&RawValue>(body) else {
        return Err(ModelError::unusable("the model's answer is not JSON", Usage::default()));
    };
    let response = Object::of(Some(body));
    let usage = response.object("usage");
    let usage =
        Usage { input_tokens: usage.read("prompt_tokens"), output_tokens: usage.read("completion_tokens") };
    let failed = |object: &Object<'_>| {
        let status = object.object("error").read("code").filter(|code| (400..600).contains(code));
        Err(ModelError { usage, ..ModelError::of_response(status.unwrap_or(502), body.get(), None) })
    };
    let choice = response.list("choices").first().map(|choice| Object::of(Some(choice)));
    let Some(choice) = choice else {
        if response.get("error").is_none() {
            return Err(ModelError::unusable("the model's server returned no answer", usage));
        }
        return failed(&response);
    };
    let message = choice.object("message");
    let finish_reason = choice.string("finish_reason");
    if choice.get("error").is_some() || finish_reason.as_deref() == Some("error") {
        return failed(&choice);
    }
    let is_filtered = |reason: &str| reason.starts_with("content_filter") || reason == "refusal";
    if finish_reason.as_deref().is_some_and(is_filtered) {
        return Err(ModelError::unusable("the model's answer was filtered", usage));
    }
    if message.string("refusal").is_some() {
        return Err(ModelError::unusable("the model refused to answer", usage));
    }
    let mut text = without_reasoning(&content(&message)).trim().to_owned();
    if text.is_empty() {
        return Err(ModelError::unusable("the model's answer is empty", usage));
    }
    if finish_reason.as_deref() == Some("length") {
        text.push('…');
    }
    Ok(Completion { text, model: response.string("model"), usage, finish_reason })
}

/// Returns the text of a message: a string, or the texts of an array of parts.
fn content(message: &Object<'_>) -> String {
    let part = |part: &RawValue| match lenient::text(Some(part)) {
        Some(text) => text.into_owned(),
        None => Object::of(Some(part)).text("text").unwrap_or_default().into_owned(),
    };
    message.list("content").into_iter().map(part).collect()
}

/// Returns an answer without the reasoning in front of it. Reasoning that does not end is all there is. Its start may be
/// missing, because the templates of some models write it into the prompt (vLLM issues 22507 and 31045, 2025).
fn without_reasoning(text: &str) -> &str {
    let (start, end) = REASONING;
    let has_start = text.trim_start().starts_with(start);
    match text.split_once(end) {
        Some((reasoning, answer)) if has_start || !reasoning.contains(start) => answer,
        None if has_start => "",
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::error::ErrorClass;
    use super::*;

    fn answer(message: Value, finish_reason: Value) -> Value {
        json!({"id": "c1", "object": "chat.completion", "model": "m-1", "service_tier": "default",
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": null}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46, "prompt_tokens_details": {}}})
    }

    fn of(body: &Value) -> Result<Completion, ModelError> {
        read(body.to_string().as_bytes())
    }

    #[test]
    fn a_whole_answer_is_read() {
        let read =
            of(&answer(json!({"role": "assistant", "content": " Hi! \n", "refusal": null}), json!("stop")));
        let usage = Usage { input_tokens: Some(12), output_tokens: Some(34) };
        let (model, finish_reason) = (Some("m-1".to_owned()), Some("stop".to_owned()));
        assert_eq!(read, Ok(Completion { text: "Hi!".to_owned(), model, usage, finish_reason }));
    }

    #[test]
    fn only_the_text_must_be_there() {
        for (content, text) in [
            (json!("Hi!"), "Hi!"),
            (
                json!([{"type": "text", "text": "Hi"}, {"type": "thinking", "thinking": []}, {"type": "text", "text": "!"}]),
                "Hi!",
            ),
            (json!(["Hi", "!"]), "Hi!"),
            (json!({"type": "text", "text": "Hi!"}), "Hi!"),
            (json!(7), "7"),
            (json!("<think>\nthe user says hi\n</think>\n\nHi!"), "Hi!"),
            (json!("Okay, the user says hi.\n</think>\n\nHi!"), "Hi!"),
            (json!("I <think> so </think>"), "I <think> so </think>"),
        ] {
            let read = of(&json!({"choices": [{"message": {"content": content}}]}));
            let expected = Completion {
                text: text.to_owned(),
                model: None,
                usage: Usage::default(),
                finish_reason: None,
            };
            assert_eq!(read, Ok(expected), "{content}");
        }
        for finish_reason in [json!(null), json!("eos"), json!(3), json!("tool_calls")] {
            assert!(of(&answer(json!({"content": "Hi!"}), finish_reason)).is_ok());
        }
        let odd = json!({"choices": [{"message": {"content": "Hi!"}}], "usage": {"prompt_tokens": "many", "completion_tokens": -1}});
        assert_eq!(of(&odd).map(|read| read.usage), Ok(Usage::default()));
        let truncated = of(&answer(json!({"content": "And then"}), json!("length")));
        assert_eq!(truncated.map(|answer| answer.text).as_deref(), Ok("And then…"));
    }

    #[test]
    fn an_answer_that_says_nothing_is_not_usable() {
        let spent = Usage { input_tokens: Some(12), output_tokens: Some(34) };
        for (message, finish_reason) in [
            (json!({"content": null}), json!("stop")),
            (json!({"content": ""}), json!("length")),
            (json!({"content": " \n"}), json!("stop")),
            (json!({"content": []}), json!("stop")),
            (json!({"content": "<think>it never ends"}), json!("length")),
            (json!({"content": null, "refusal": "I cannot help with that."}), json!("stop")),
            (json!({"content": "Hi!", "refusal": "I cannot help with that."}), json!("stop")),
            (json!({"content": "Half an ans"}), json!("content_filter")),
            (json!({"content": null}), json!("content_filter: PROHIBITED_CONTENT")),
            (json!({"content": null, "tool_calls": [{"id": "1"}]}), json!("tool_calls")),
            (json!(null), json!("stop")),
        ] {
            let error = of(&answer(message.clone(), finish_reason)).expect_err("not usable");
            assert_eq!((error.class, error.usage), (ErrorClass::Unusable, spent), "{message}");
        }
        for body in [
            "",
            "hello",
            "<html></html>",
            "[]",
            "{}",
            r#"{"choices": []}"#,
            "\u{feff}{}",
            r#"{"choices": null}"#,
        ] {
            let error = read(body.as_bytes()).expect_err("not usable");
            assert_eq!(error.class, ErrorClass::Unusable, "{body}");
        }
        assert!(read(b"\xff\xfe").is_err());
    }

    #[test]
    fn an_error_in_a_successful_response_is_classified() {
        for (error, class) in [
            (json!({"code": 429, "message": "Rate limited"}), ErrorClass::Throttled),
            (json!({"code": 502, "message": "Provider returned error"}), ErrorClass::Server),
            (json!({"code": "server_error"}), ErrorClass::Server),
            (json!("overloaded"), ErrorClass::Server),
        ] {
            assert_eq!(of(&json!({"error": error})).map_err(|error| error.class), Err(class), "{error}");
            let choice =
                json!({"message": {"content": "Half an ans"}, "error": error, "finish_reason": "error"});
            assert_eq!(of(&json!({"choices": [choice]})).map_err(|error| error.class), Err(class), "{error}");
        }
        let half = of(&answer(json!({"content": "Half an ans"}), json!("error"))).expect_err("not usable");
        assert_eq!((half.class, half.usage.output_tokens), (ErrorClass::Server, Some(34)));
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics(body: Vec<u8>, value in "[\\[{\"a-z:0-9,}\\]]{0,40}") {
            let _ = read(&body);
            let _ = read(format!(r#"{{"choices":[{{"message":{{"content":{value}}}}}]}}"#).as_bytes());
        }
    }
}
