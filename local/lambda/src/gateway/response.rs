//! The HTTP response from a function's response.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// The full format. Without `multiValueHeaders`: format 2.0 ignores that field.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Full {
    status_code: u16,
    headers: Option<BTreeMap<String, Value>>,
    cookies: Option<Vec<String>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

/// `None`: a response that API Gateway does not accept, which becomes a 500.
///
/// Without a `statusCode`, the whole payload is the body of a 200, JSON or not. Source, from observation: the
/// AWS test tool for .NET,
/// <https://github.com/aws/aws-lambda-dotnet/blob/dev/Tools/LambdaTestTool-v2/src/Amazon.Lambda.TestTool/Extensions/InvokeResponseExtensions.cs>
pub(super) fn build(payload: &[u8]) -> Option<Response> {
    let value = serde_json::from_slice::<Value>(payload).unwrap_or_default();
    if value.get("statusCode").is_none() {
        let mut response = Response::new(Body::from(payload.to_vec()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return Some(response);
    }
    let full: Full = serde_json::from_value(value).ok()?;
    let body = match (full.body, full.is_base64_encoded) {
        (Some(body), Some(true)) => STANDARD.decode(body).ok()?,
        (Some(body), _) => body.into_bytes(),
        (None, _) => Vec::new(),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(full.status_code).ok()?;
    let headers = response.headers_mut();
    // Default content type of a full response.
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    for (name, value) in full.headers.unwrap_or_default() {
        let name = HeaderName::try_from(name).ok()?;
        let value = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => return None,
        };
        // These two depend on the body and the connection.
        if name != header::CONTENT_LENGTH && name != header::TRANSFER_ENCODING {
            headers.insert(name, HeaderValue::try_from(value).ok()?);
        }
    }
    for cookie in full.cookies.unwrap_or_default() {
        headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie).ok()?);
    }
    Some(response)
}
