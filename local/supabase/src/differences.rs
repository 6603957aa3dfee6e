//! Where `postrust` answers otherwise than PostgREST, as far as a client meets it.
//!
//! - A missing grant (42501) is 401 for everybody; PostgREST answers 403 to whoever has another role than `anon`.
//! - A column in `select` that is not there is PGRST204, as one that is written; PostgREST's reads fail in PostgreSQL,
//!   with 42703. Which column it is, `postrust` does not say.
//!
//! Source: “Errors”, PostgREST's documentation, and PostgREST 14's answers.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, WWW_AUTHENTICATE};
use serde_json::Value;

use crate::keys;

/// What an error's body is shorter than.
const ERROR: usize = 64 * 1024;

/// Whether a request acts as `anon`: without a valid token of another role.
pub(crate) fn is_anonymous(headers: &HeaderMap) -> bool {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
    token.and_then(keys::role).is_none_or(|role| role == "anon")
}

/// The answer as PostgREST gives it.
pub(crate) async fn as_postgrest(response: Response, is_anonymous: bool) -> Response {
    if !matches!(response.status(), StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, ERROR).await else {
        return Response::from_parts(parts, Body::empty());
    };
    let Ok(mut error) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    match (error["code"].as_str(), error["message"].as_str()) {
        (Some("42501"), _) if !is_anonymous => {
            parts.status = StatusCode::FORBIDDEN;
            parts.headers.remove(WWW_AUTHENTICATE);
        }
        (Some("PGRST204"), Some("Column not found")) => {
            error["code"] = "42703".into();
            error["message"] = "column does not exist".into();
        }
        _ => {}
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(error.to_string()))
}
