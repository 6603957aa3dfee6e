//! Translation of `postrust`'s responses where they differ from PostgREST's and a client can notice.
//!
//! - A missing grant (42501) is always a 401; in PostgREST it is a 403 for roles other than `anon`.
//! - An unknown column in `select` is PGRST204, as for a written column; in PostgREST reads fail in
//!   PostgreSQL, with 42703. `postrust` does not name the column.
//!
//! Source: “Errors” in PostgREST's documentation, and PostgREST 14's responses.

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, WWW_AUTHENTICATE};
use serde_json::Value;

use crate::keys;

/// Maximum size of an error body.
const ERROR: usize = 64 * 1024;

/// Whether a request acts as `anon`, i.e. lacks a valid token of another role.
pub(crate) fn is_anonymous(headers: &HeaderMap) -> bool {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
    token.and_then(keys::role).is_none_or(|role| role == "anon")
}

/// Converts a response to PostgREST's format.
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
