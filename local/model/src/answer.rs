//! The answer to a request, and its price in tokens.

use chrono::Utc;
use serde_json::{Value, json};

use crate::faults::Outcome;
use crate::request::Request;

/// Characters of a token. English text has about four.
const TOKEN: usize = 4;

/// Builds the response to the request with this number, as `outcome` changes it.
pub(crate) fn completion(request: &Request, outcome: Outcome, number: usize) -> Value {
    let (text, is_cut) = words(request);
    let (content, refusal, finish_reason) = match outcome {
        Outcome::Empty => (json!(""), None, "stop"),
        Outcome::Refusal => (Value::Null, Some("I'm sorry, but I can't help with that."), "stop"),
        Outcome::ContentFilter => (json!("You said"), None, "content_filter"),
        _ => (json!(text), None, if is_cut { "length" } else { "stop" }),
    };
    let prompt: usize = request.messages.iter().map(|message| tokens(&message.content)).sum();
    let completion = tokens(content.as_str().or(refusal).unwrap_or_default());
    json!({
        "id": format!("chatcmpl-{number}"),
        "object": "chat.completion",
        "created": Utc::now().timestamp(),
        "model": request.model,
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": content, "refusal": refusal },
            "logprobs": null,
            "finish_reason": finish_reason,
        }],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        },
    })
}

/// The words of the answer, and whether the limit of the request has truncated them.
fn words(request: &Request) -> (String, bool) {
    let said: Vec<_> = request.messages.iter().filter(|message| message.is_said()).collect();
    let last = said.iter().rposition(|message| message.role == "user");
    let words = last.map_or("", |last| &said[last].content);
    let text = match last.unwrap_or(said.len()) {
        1 => format!("You said “{words}” after 1 message."),
        before => format!("You said “{words}” after {before} messages."),
    };
    let limit = request.max_tokens.and_then(|limit| usize::try_from(limit).ok()?.checked_mul(TOKEN));
    match limit.and_then(|limit| text.char_indices().nth(limit)) {
        Some((end, _)) => (text[..end].to_owned(), true),
        None => (text, false),
    }
}

fn tokens(text: &str) -> usize {
    text.chars().count().div_ceil(TOKEN)
}
