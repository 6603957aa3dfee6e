//! Errors in the format of the Graph API.
//!
//! Source: Meta's "Handle Errors" (Graph API) and "Error Codes" (WhatsApp Cloud API).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

/// One error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphError {
    /// HTTP status.
    pub status: StatusCode,
    /// Error code, the basis of a program's decisions.
    pub code: i64,
    /// Subcode of some codes (33: the object does not exist, or is not visible to the token).
    pub subcode: Option<i64>,
    /// Description for humans.
    pub message: String,
    /// Details for humans about this request. Only the WhatsApp part of the API has them.
    pub details: Option<String>,
}

impl GraphError {
    /// An error injected by a test.
    pub(crate) fn scripted(status: u16, code: i64) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            subcode: None,
            message: format!("(#{code}) Scripted error"),
            details: Some("A fault of the local fake.".to_owned()),
        }
    }

    pub(crate) fn unauthorized() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: 190,
            subcode: None,
            message: "Invalid OAuth access token - Cannot parse access token".to_owned(),
            details: None,
        }
    }

    /// The token was valid until `end`.
    pub(crate) fn expired(end: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        let [end, now] = [end, now].map(|time| time.format("%A, %d-%b-%y %H:%M:%S UTC"));
        Self {
            status: StatusCode::UNAUTHORIZED,
            code: 190,
            subcode: Some(463),
            message: format!(
                "Error validating access token: Session has expired on {end}. The current time is {now}."
            ),
            details: None,
        }
    }

    /// The token lacks the permission.
    pub(crate) fn no_permission() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            code: 10,
            subcode: None,
            message: "(#10) Application does not have permission for this action".to_owned(),
            details: None,
        }
    }

    /// A field that the object does not have.
    pub(crate) fn no_field(field: &str) -> Self {
        let message = format!("(#100) Tried accessing nonexisting field ({field})");
        Self { status: StatusCode::BAD_REQUEST, code: 100, subcode: None, message, details: None }
    }

    pub(crate) fn unknown_path(path: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: 2500,
            subcode: None,
            message: format!("Unknown path components: {path}"),
            details: None,
        }
    }

    /// The object does not exist, or does not allow this token or method: Meta does not distinguish these.
    pub(crate) fn unsupported(method: &str, id: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: 100,
            subcode: Some(33),
            message: format!(
                "Unsupported {} request. Object with ID '{id}' does not exist, cannot be loaded due to \
                 missing permissions, or does not support this operation",
                method.to_ascii_lowercase(),
            ),
            details: None,
        }
    }

    pub(crate) fn required(parameter: &str) -> Self {
        Self::whatsapp(100, format!("The parameter {parameter} is required."), None)
    }

    pub(crate) fn invalid(details: impl Into<String>) -> Self {
        Self::whatsapp(100, "Invalid parameter".to_owned(), Some(details.into()))
    }

    pub(crate) fn missing_value(details: impl Into<String>) -> Self {
        Self::whatsapp(131_008, "Required parameter is missing".to_owned(), Some(details.into()))
    }

    pub(crate) fn bad_value(details: impl Into<String>) -> Self {
        Self::whatsapp(131_009, "Parameter value is not valid".to_owned(), Some(details.into()))
    }

    fn whatsapp(code: i64, message: String, details: Option<String>) -> Self {
        let message = format!("(#{code}) {message}");
        Self { status: StatusCode::BAD_REQUEST, code, subcode: None, message, details }
    }
}

impl IntoResponse for GraphError {
    fn into_response(self) -> Response {
        let trace_id = format!("A{}", URL_SAFE_NO_PAD.encode(Uuid::new_v4()));
        let mut error = json!({
            "message": self.message,
            "type": "OAuthException",
            "code": self.code,
            "fbtrace_id": trace_id,
        });
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = json!(subcode);
        }
        if let Some(details) = self.details {
            error["error_data"] = json!({ "messaging_product": "whatsapp", "details": details });
        }
        let mut response = (self.status, Json(json!({ "error": error }))).into_response();
        if self.code == 190 {
            let challenge = HeaderValue::from_static(r#"OAuth "Facebook Platform" "invalid_token""#);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
