//! Errors in the format of OpenAI's API.
//!
//! Source: <https://platform.openai.com/docs/guides/error-codes> (November 2026).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// One error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// `error.type`.
    kind: &'static str,
    /// `error.code`, the basis of a program's decisions together with the status.
    code: Option<&'static str>,
    /// The parameter of the request.
    param: Option<&'static str>,
    message: String,
    /// Seconds.
    retry_after: Option<u32>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: Option<&'static str>, message: &str) -> Self {
        Self { status, kind, code, param: None, message: message.to_owned(), retry_after: None }
    }

    /// An error injected by a test.
    pub(crate) fn scripted(status: u16) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (kind, code, message) = match status {
            StatusCode::UNAUTHORIZED => {
                ("invalid_request_error", Some("invalid_api_key"), "Incorrect API key provided.")
            }
            StatusCode::NOT_FOUND => {
                ("invalid_request_error", Some("model_not_found"), "The model does not exist.")
            }
            status if status.is_client_error() => ("invalid_request_error", None, "Scripted error."),
            _ => ("server_error", None, "The server had an error while processing your request."),
        };
        Self::new(status, kind, code, message)
    }

    pub(crate) fn throttled(retry_after: Option<u32>) -> Self {
        let message = "Rate limit reached for requests. Please try again later.";
        let code = Some("rate_limit_exceeded");
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", code, message) }
    }

    pub(crate) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        let error = Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", None, "");
        Self { param: Some(param), message: message.into(), ..error }
    }

    pub(crate) fn context_too_long(longest: usize, messages: usize) -> Self {
        let message = format!(
            "This model's maximum context length is {longest} messages. However, your messages resulted in {messages}. \
             Please reduce the length of the messages."
        );
        Self { code: Some("context_length_exceeded"), ..Self::invalid("messages", message) }
    }

    pub(crate) fn unreadable() -> Self {
        let message = "We could not parse the JSON body of your request.";
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", None, message)
    }

    pub(crate) fn unknown_path(method: &str, path: &str) -> Self {
        let message = format!("Invalid URL ({method} {path})");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", None, &message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { status, kind, code, param, message, retry_after } = self;
        let error = json!({ "message": message, "type": kind, "param": param, "code": code });
        let mut response = (status, Json(json!({ "error": error }))).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
