//! Errors of a language model's API, and their classification for retries.
//!
//! Servers agree on the HTTP statuses and on little else: the body is `{"error": {"message", "type", "code"}}` (OpenAI,
//! Anthropic, Groq, Ollama), the same in an array (Google), flat with the fields in the root (Mistral, older vLLM), or
//! `{"error": "…"}`. So the body is searched as text, and never logged: it may quote the conversation.
//!
//! | what | who says it how |
//! |---|---|
//! | too long | OpenAI, Groq, DeepSeek, vLLM: 400, `context_length_exceeded` or “maximum context length” (chatbot-ui issue 102, 2023-03; cline issue 13194, 2026-08). Anthropic: 400, “prompt is too long: 208310 tokens > 200000 maximum”, “input length and `max_tokens` exceed context limit” (continue issue 8454, 2025-10). Google: 400, “The input token count (134123) exceeds the maximum number of tokens allowed” (gemini-cli issue 12214, 2025-10). llama.cpp: `exceed_context_size_error`, 400, earlier 500 (pull request 15780, 2025-09). Ollama: nothing, it truncates (issue 2208) |
//! | no money left | OpenAI: 429 as for a rate limit, with `insufficient_quota`, `credit_balance_exhausted`, `…_spend_limit_exceeded` (“insufficient_quota”, Microsoft Dev Proxy documentation, 2026). DeepSeek, OpenRouter: 402 (their pages “Error Codes”, “Errors and Debugging”). Anthropic: 400, “Your credit balance is too low” (claude-code issue 88711, 2026-08). Google uses OpenAI's words for rate limits, too |
//! | a wrong key | 401. Google: 400, “API key not valid” |
//! | a wrong model | 404. OpenRouter: 400, “… is not a valid model ID” (openfang issue 697, 2026-03) |
//! | what a person wrote | OpenRouter: 403, “your input was flagged” (“Errors and Debugging”) |

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::lambda::counter::Counter;

use super::usage::Usage;

/// A failed call of the model.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}{}", status.map(|status| format!(" (status {status})")).unwrap_or_default())]
pub struct ModelError {
    /// The consequence.
    pub class: ErrorClass,
    /// The cause, without anything that was said.
    pub reason: &'static str,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The time after which the server wants to be asked again.
    pub retry_after: Option<Duration>,
    /// The tokens spent on an answer that is not usable.
    pub usage: Usage,
}

/// The consequence of an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ErrorClass {
    /// A rate limit: retry after the time that the server names.
    Throttled,
    /// An error of the server: retry.
    Server,
    /// No response in time: retry.
    Timeout,
    /// No connection, or it broke: retry.
    Connection,
    /// The key, the quota, the address or the model's name: an operator must act.
    Account,
    /// The conversation is too long for the model: ask with less of it.
    Context,
    /// The model refuses, or its answer is empty or unreadable: a retry would most likely fail in the same way.
    Unusable,
}

impl ErrorClass {
    /// Returns the counter of calls that fail so.
    #[must_use]
    pub fn counter(self) -> Counter {
        match self {
            Self::Throttled => Counter::LlmErrorsThrottled,
            Self::Server => Counter::LlmErrorsServer,
            Self::Timeout => Counter::LlmErrorsTimeout,
            Self::Connection => Counter::LlmErrorsConnection,
            Self::Account => Counter::LlmErrorsAccount,
            Self::Context => Counter::LlmErrorsContext,
            Self::Unusable => Counter::LlmErrorsUnusable,
        }
    }

    /// Returns the cause in words.
    fn reason(self) -> &'static str {
        match self {
            Self::Throttled => "the model's server refuses more requests",
            Self::Server => "the model's server failed",
            Self::Timeout => "the model did not answer in time",
            Self::Connection => "the model's server cannot be reached, or the connection broke",
            Self::Account => "the model's server refuses the key, the quota, the address or the model's name",
            Self::Context => "the conversation is too long for the model",
            Self::Unusable => "the model's server refuses the request",
        }
    }
}

impl From<ErrorClass> for ModelError {
    fn from(class: ErrorClass) -> Self {
        Self { class, reason: class.reason(), status: None, retry_after: None, usage: Usage::default() }
    }
}

/// Says that the conversation is too long, in lower case.
const CONTEXT: [&str; 15] = [
    "context_length",
    "context length",
    "context window",
    "context size",
    "context_size",
    "context limit",
    "maximum prompt length",
    "prompt is too long",
    "input is too long",
    "too many tokens",
    "input token count",
    "exceeded model token limit",
    "reduce the length of the messages",
    "request too large",
    "request_too_large",
];

/// Says in a response with status 429 that the limit of tokens per minute is below the size of this one request: waiting
/// does not help.
const TOO_LARGE: [&str; 2] = ["request too large", "request_too_large"];

/// Says that money is needed, in a response with status 429.
const QUOTA: [&str; 6] = [
    "insufficient_quota",
    "credit_balance",
    "spend_limit",
    "usage_limit_exceeded",
    "insufficient_balance",
    "exceeded_current_quota",
];

/// Says that the settings or the account are wrong, in a response with status 400 or 422.
const ACCOUNT: [&str; 8] = [
    "api key",
    "api_key",
    "credit balance",
    "invalid model",
    "invalid_model",
    "model_not_found",
    "not a valid model",
    "unknown model",
];

impl ModelError {
    /// Returns an error because of an answer that cannot be used, on which these tokens were spent.
    #[must_use]
    pub fn unusable(reason: &'static str, usage: Usage) -> Self {
        Self { reason, usage, ..ErrorClass::Unusable.into() }
    }

    /// Classifies a response with an error.
    #[must_use]
    pub fn of_response(status: u16, body: &str, retry_after: Option<Duration>) -> Self {
        let body = body.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| body.contains(word));
        let class = match status {
            413 => ErrorClass::Context,
            // OpenRouter returns 403 for both a key and what a person wrote.
            403 if says(&["moderation", "flagged"]) => ErrorClass::Unusable,
            300..400 | 401..=405 => ErrorClass::Account,
            429 if says(&TOO_LARGE) => ErrorClass::Context,
            429 if says(&QUOTA) => ErrorClass::Account,
            // Amazon Bedrock: “Too many tokens, please wait before trying again.”
            429 => ErrorClass::Throttled,
            _ if says(&CONTEXT) => ErrorClass::Context,
            408 => ErrorClass::Timeout,
            400 | 422 if says(&ACCOUNT) => ErrorClass::Account,
            409 | 425 | 500.. => ErrorClass::Server,
            _ => ErrorClass::Unusable,
        };
        Self { status: Some(status), retry_after, ..class.into() }
    }
}

/// Reads the headers `retry-after-ms` and `retry-after`: milliseconds, and seconds or a date. The first is OpenAI's and
/// Azure's; the second is that of RFC 9110, section 10.2.3, in which some servers write fractions.
#[must_use]
pub(super) fn retry_after(ms: Option<&str>, after: Option<&str>, now: DateTime<Utc>) -> Option<Duration> {
    let seconds = |text: &str| text.trim().parse::<f64>().ok();
    let of_date =
        |text: &str| Some((DateTime::parse_from_rfc2822(text.trim()).ok()?.to_utc() - now).as_seconds_f64());
    let wait = ms.and_then(seconds).map(|ms| ms / 1000.0);
    let wait = wait.or_else(|| after.and_then(|after| seconds(after).or_else(|| of_date(after))))?;
    Duration::try_from_secs_f64(wait.max(0.0)).ok()
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
