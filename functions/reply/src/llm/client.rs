//! A client of `POST {LLM_URL}/chat/completions`: OpenAI's protocol (“Create chat completion”, OpenAI API reference), which
//! Anthropic (“OpenAI SDK compatibility”, Claude documentation), Google, Mistral, Groq, OpenRouter, Amazon Bedrock, vLLM,
//! llama.cpp and Ollama serve as well.
//!
//! Only fields that all of them accept are sent. They differ in the name of one: `max_tokens` is refused by OpenAI's newer
//! models (400, “Use 'max_completion_tokens' instead”, since o1), and `max_completion_tokens` by Mistral (422, “Extra inputs
//! are not permitted”, editor-code-assistant/eca issue 231, 2025-12). A client that is refused uses the other from then on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::Utc;
use reqwest::{Request, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use shared::http::{self, How};
use tokio::time::Instant;

use super::completion;
use super::error::{ErrorClass, ModelError, retry_after};
use super::model::{ChatMessage, Completion, Model};
use super::settings::{ApiSettings, BaseUrl};

/// The beginning of a response that is read, in bytes. No answer is as long.
const MAX_RESPONSE: usize = 1024 * 1024;

/// The beginning of an error response that is read, in bytes.
const MAX_ERROR: usize = 16 * 1024;

/// A client of one model.
#[derive(Debug)]
pub struct ChatCompletions {
    http: reqwest::Client,
    url: Url,
    key: Option<SecretString>,
    model: String,
    max_tokens: u32,
    /// Whether the limit of tokens has the newer name.
    uses_newer_name: AtomicBool,
}

#[derive(Serialize)]
struct ChatRequest<'a> {
    model: &'a str,
    messages: &'a [ChatMessage],
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
}

impl ChatCompletions {
    /// Builds a client over `http`.
    #[must_use]
    pub fn new(settings: ApiSettings, http: reqwest::Client) -> Self {
        let ApiSettings { url: BaseUrl(mut url), model, key, max_tokens } = settings;
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["chat", "completions"]);
        }
        let is_openai = url.host_str().is_some_and(|host| host.ends_with(".openai.com"));
        Self { http, url, key, model, max_tokens, uses_newer_name: AtomicBool::new(is_openai) }
    }

    fn request(
        &self,
        messages: &[ChatMessage],
        uses_newer_name: bool,
        timeout: Duration,
    ) -> reqwest::Result<Request> {
        let (max_tokens, max_completion_tokens) = match uses_newer_name {
            true => (None, Some(self.max_tokens)),
            false => (Some(self.max_tokens), None),
        };
        let body = ChatRequest { model: &self.model, messages, max_tokens, max_completion_tokens };
        let request = self.http.post(self.url.clone()).timeout(timeout).json(&body);
        match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()).build(),
            None => request.build(),
        }
    }

    /// Asks once. A request is repeated at once only if a connection that was open before broke within a round trip: most
    /// likely the server had closed it while this process was frozen.
    async fn ask(
        &self,
        messages: &[ChatMessage],
        uses_newer_name: bool,
        timeout: Duration,
    ) -> Result<Completion, Refused> {
        let request = self
            .request(messages, uses_newer_name, timeout)
            .map_err(|_| ModelError::from(ErrorClass::Account))?;
        let sending = http::send_while(&self.http, request, |how| how == How::ReusedConnectionBroke);
        let response = sending.await.map_err(|failed| of_transport(&failed.error))?;
        let status = response.status();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = retry_after(header("retry-after-ms"), header("retry-after"), Utc::now());
        if status.is_success() {
            return Ok(completion::read(&beginning(response, MAX_RESPONSE).await?)?);
        }
        // Without a body, the status decides.
        let body = beginning(response, MAX_ERROR).await.unwrap_or_default();
        let body = String::from_utf8_lossy(&body);
        let error = ModelError::of_response(status.as_u16(), &body, retry_after);
        let names_limit = matches!(status.as_u16(), 400 | 422) && body.contains("max_completion_tokens");
        Err(Refused { name_of_limit: names_limit && error.class != ErrorClass::Context, error })
    }
}

/// A failed call.
struct Refused {
    error: ModelError,
    /// Whether the name of the limit of tokens is refused.
    name_of_limit: bool,
}

impl From<ModelError> for Refused {
    fn from(error: ModelError) -> Self {
        Self { error, name_of_limit: false }
    }
}

impl Model for ChatCompletions {
    fn name(&self) -> &str {
        &self.model
    }

    async fn complete(&self, messages: &[ChatMessage], timeout: Duration) -> Result<Completion, ModelError> {
        let start = Instant::now();
        // Of this call: others run at the same time.
        let uses_newer_name = self.uses_newer_name.load(Ordering::Relaxed);
        match self.ask(messages, uses_newer_name, timeout).await {
            Err(Refused { name_of_limit: true, .. }) => {
                self.uses_newer_name.store(!uses_newer_name, Ordering::Relaxed);
                let left = timeout.saturating_sub(start.elapsed());
                self.ask(messages, !uses_newer_name, left).await.map_err(|refused| refused.error)
            }
            answered => answered.map_err(|refused| refused.error),
        }
    }
}

/// Returns the body of a response, or its beginning of `max` bytes.
async fn beginning(mut response: Response, max: usize) -> Result<Vec<u8>, ModelError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| of_transport(&error))? {
        let room = max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            break;
        }
    }
    Ok(body)
}

fn of_transport(error: &reqwest::Error) -> ModelError {
    // A connection that takes too long is both.
    let is_late = error.is_timeout() && !error.is_connect();
    if is_late { ErrorClass::Timeout } else { ErrorClass::Connection }.into()
}
