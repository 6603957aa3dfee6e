//! The accepted access token: expiry and permissions.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::error::GraphError;

/// The permission to send.
pub(crate) const MESSAGING: &str = "whatsapp_business_messaging";
/// The permission to query numbers.
pub(crate) const MANAGEMENT: &str = "whatsapp_business_management";

/// Permissions of a system user's token for WhatsApp.
pub const PERMISSIONS: [&str; 2] = [MANAGEMENT, MESSAGING];

/// The bearer token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The token, without `Debug` or `Display`.
pub(crate) struct AccessToken {
    text: String,
    grant: Mutex<Grant>,
}

struct Grant {
    expires_at: Option<DateTime<Utc>>,
    permissions: Vec<String>,
}

impl AccessToken {
    /// A token that never expires and has both permissions.
    pub(crate) fn new(text: String) -> Self {
        let permissions = PERMISSIONS.map(str::to_owned).to_vec();
        Self { text, grant: Mutex::new(Grant { expires_at: None, permissions }) }
    }

    pub(crate) fn expire(&self, at: Option<DateTime<Utc>>) {
        self.lock().expires_at = at;
    }

    pub(crate) fn set_permissions(&self, permissions: &[&str]) {
        self.lock().permissions = permissions.iter().map(|&permission| permission.to_owned()).collect();
    }

    /// Checks a bearer token.
    pub(crate) fn authenticate(&self, bearer: Option<&str>) -> Result<(), GraphError> {
        if bearer != Some(self.text.as_str()) {
            return Err(GraphError::unauthorized());
        }
        let now = Utc::now();
        match self.lock().expires_at {
            Some(end) if end <= now => Err(GraphError::expired(end, now)),
            _ => Ok(()),
        }
    }

    /// Checks a permission.
    pub(crate) fn authorize(&self, permission: &str) -> Result<(), GraphError> {
        let permitted = self.lock().permissions.iter().any(|granted| granted == permission);
        if permitted { Ok(()) } else { Err(GraphError::no_permission()) }
    }

    /// Response of `debug_token` about an accepted token.
    /// Source: <https://developers.facebook.com/docs/graph-api/reference/debug_token>
    pub(crate) fn describe(&self, token: &str) -> Value {
        if token != self.text {
            let error = json!({ "code": 190, "message": "Invalid OAuth access token." });
            return json!({ "error": error, "is_valid": false, "scopes": [] });
        }
        let grant = self.lock();
        let expires_at = grant.expires_at.map_or(0, |end| end.timestamp());
        json!({
            "app_id": "634974688087057",
            "type": "SYSTEM_USER",
            "application": "local",
            "data_access_expires_at": 0,
            "expires_at": expires_at,
            "is_valid": true,
            "issued_at": 1_749_416_383,
            "scopes": grant.permissions,
            "user_id": "122102230436013254",
        })
    }

    fn lock(&self) -> MutexGuard<'_, Grant> {
        self.grant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
