//! Errors, as `application/problem+json` (RFC 9457).

use std::borrow::Cow;

use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use lambda_http::Body;
use serde::Serialize;
use shared::lambda::api::Refused;
use shared::lambda::counter::Counter;
use shared::supabase::SupabaseError;
use tracing::error;

use crate::bearer::NoToken;
use crate::history::HistoryError;
use crate::page::PageError;

/// The reason for a response without messages.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Another path.
    #[error("not found: this function serves only /messages")]
    NotFound,
    /// Another method.
    #[error("/messages accepts GET")]
    Method,
    /// No bearer token.
    #[error(transparent)]
    NoToken(#[from] NoToken),
    /// Bad parameters.
    #[error(transparent)]
    Page(#[from] PageError),
    /// No page from Supabase.
    #[error(transparent)]
    History(#[from] HistoryError),
}

#[derive(Serialize)]
struct ProblemDetails<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: String,
}

/// Returns the error code, if it means that the database refuses the caller's token.
///
/// 401 and 403: PostgREST does not accept the token, or it is the token of an anonymous caller, without the right to read
/// messages (401 and 42501). With 403, 42501 means that the role of a signed-in user lacks a grant; another token would
/// not help. A value that PostgreSQL cannot read is a signed but invalid claim of the token: a `sub` that is not a UUID
/// (22P02, from `auth.uid()`), U+0000 in a claim (22P05), a `role` unknown to the database (22023; newer versions of
/// PostgREST return 401).
fn refused_token(error: &SupabaseError) -> Option<&str> {
    let (status, code) = match error {
        SupabaseError::RefusedRole => return Some("42501"),
        SupabaseError::Rejected { status, code: Some(code) } => (status, code),
        _ => return None,
    };
    let is_missing_grant = *status == 403 && code == "42501";
    ((matches!(status, 401 | 403) && !is_missing_grant) || (*status == 400 && error.is_about_values()))
        .then_some(code)
}

/// The response to the caller: a status, and a text with the remedy. Never includes text of Supabase.
struct StatusDetail {
    status: StatusCode,
    detail: String,
}

impl Problem {
    /// Converts the error to a response, and logs a failure of this function or of Supabase.
    #[must_use]
    pub fn into_response(self) -> Response<Body> {
        let StatusDetail { status, detail } = self.status_detail();
        if self.is_refused_key() {
            let status = status.as_u16();
            error!(counter = Counter::RefusedApiKeys.name(), status, cause = %self, "Supabase refused SUPABASE_PUBLISHABLE_KEY");
        } else if status.is_server_error() {
            error!(counter = Counter::FailedRequests.name(), status = status.as_u16(), cause = %self, "history page not read from Supabase");
        }
        let title = status.canonical_reason().unwrap_or("Error");
        let problem = ProblemDetails { kind: "about:blank", title, status: status.as_u16(), detail };
        let body = serde_json::to_string(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            StatusCode::UNAUTHORIZED => {
                // RFC 6750, section 3: no error code when the request carried no token at all.
                let challenge = match self {
                    Self::NoToken(_) => "Bearer",
                    _ => r#"Bearer error="invalid_token""#,
                };
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {}
        }
        if let Some(reason) = self.reason() {
            response.extensions_mut().insert(Refused(reason));
        }
        response
    }

    /// Returns the reason of a refusal for the log, in one word; `None` for a failure that is not the caller's.
    fn reason(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::NotFound => "not_found".into(),
            Self::Method => "method_not_allowed".into(),
            Self::NoToken(_) => "missing_token".into(),
            Self::Page(_) => "bad_parameter".into(),
            Self::History(HistoryError::Before(_)) => "bad_parameter".into(),
            // Includes the code: `PGRST303` is an expired token.
            Self::History(HistoryError::Supabase(error)) => format!("token_{}", refused_token(error)?).into(),
            Self::History(HistoryError::Unreadable) => return None,
        })
    }

    /// Whether Supabase's gateway refused this function's own API key. Unlike PostgREST, which checks the user's token,
    /// the gateway returns no code: `{"message":"Invalid API key","hint":"…"}`.
    fn is_refused_key(&self) -> bool {
        let Self::History(HistoryError::Supabase(error)) = self else { return false };
        matches!(error, SupabaseError::Rejected { status: 401 | 403, code: None })
    }

    fn status_detail(&self) -> StatusDetail {
        let with = |status, detail: &str| StatusDetail { status, detail: detail.to_owned() };
        match self {
            Self::NotFound => with(StatusCode::NOT_FOUND, &self.to_string()),
            Self::Method => with(StatusCode::METHOD_NOT_ALLOWED, &self.to_string()),
            Self::NoToken(_) => with(StatusCode::UNAUTHORIZED, &self.to_string()),
            Self::Page(_) => with(StatusCode::BAD_REQUEST, &self.to_string()),
            Self::History(HistoryError::Unreadable) => {
                with(StatusCode::BAD_GATEWAY, "the database returned a response that cannot be read")
            }
            Self::History(HistoryError::Before(error)) => with(StatusCode::BAD_REQUEST, &error.to_string()),
            Self::History(HistoryError::Supabase(error)) if refused_token(error).is_some() => with(
                StatusCode::UNAUTHORIZED,
                "the token was not accepted: sign in again and use a fresh one",
            ),
            Self::History(HistoryError::Supabase(error)) => match error {
                SupabaseError::Timeout | SupabaseError::Rejected { status: 504, .. } => {
                    with(StatusCode::GATEWAY_TIMEOUT, "the database did not respond in time: try again")
                }
                SupabaseError::Unreachable | SupabaseError::Rejected { status: 429 | 503, .. } => with(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database is not available: try again in a moment",
                ),
                SupabaseError::Rejected { .. } | SupabaseError::RefusedRole | SupabaseError::Unsendable => {
                    with(StatusCode::BAD_GATEWAY, "the database returned an error")
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A refused key needs an operator and has an alarm of its own.
    #[test]
    fn a_refused_key_differs_from_a_refused_token() {
        let rejected = |status, code: Option<&str>| {
            let code = code.map(str::to_owned);
            Problem::History(HistoryError::Supabase(SupabaseError::Rejected { status, code }))
        };
        for (problem, is_refused_key) in [
            (rejected(401, None), true),
            (rejected(403, None), true),
            (rejected(401, Some("PGRST301")), false),
            (rejected(403, Some("42501")), false),
            (rejected(500, None), false),
            (Problem::History(HistoryError::Supabase(SupabaseError::Unreachable)), false),
            (Problem::NoToken(NoToken), false),
        ] {
            assert_eq!(problem.is_refused_key(), is_refused_key, "{problem:?}");
        }
    }
}
