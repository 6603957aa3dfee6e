//! Signing users in at Supabase Auth, without a password and without an email: an administrator may request the token
//! of a recovery email, and that token signs the user in.
//!
//! Source: `adminGenerateLink` and `verifyPost` in <https://github.com/supabase/auth>. The link type
//! `recovery` never creates a missing user.

use std::time::Duration;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared::supabase::ApiKey;
use uuid::Uuid;

use super::Target;

/// The timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The session of a signed-in user.
pub(super) struct Session {
    /// The session's id; deleting the session signs the user out.
    pub(super) id: Option<Uuid>,
    pub(super) token: String,
    pub(super) lifetime: Duration,
}

/// Signs in the user with this email address.
///
/// # Errors
/// When Auth does not respond as expected.
pub(super) async fn sign_in(http: &reqwest::Client, target: &Target, email: &str) -> anyhow::Result<Session> {
    #[derive(Deserialize)]
    struct Link {
        hashed_token: String,
    }
    #[derive(Deserialize)]
    struct SignedIn {
        access_token: String,
        expires_in: u64,
    }
    #[derive(Deserialize)]
    struct Claims {
        session_id: Option<Uuid>,
    }
    let link = json!({"type": "recovery", "email": email});
    let path = "admin/generate_link";
    let Link { hashed_token } = post(http, target, path, &target.secret_key, &link).await?;
    let proof = json!({"type": "recovery", "token_hash": hashed_token});
    let SignedIn { access_token, expires_in } =
        post(http, target, "verify", &target.publishable_key, &proof).await?;
    let claims = access_token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
    let claims: Option<Claims> = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
    Ok(Session {
        id: claims.and_then(|claims| claims.session_id),
        token: access_token,
        lifetime: Duration::from_secs(expires_in),
    })
}

async fn post<T: DeserializeOwned>(
    http: &reqwest::Client,
    target: &Target,
    path: &str,
    key: &SecretString,
    body: &Value,
) -> anyhow::Result<T> {
    let header = |scheme: &str| -> anyhow::Result<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("{scheme}{}", key.expose_secret()))?;
        value.set_sensitive(true);
        Ok(value)
    };
    let mut request = http.post(format!("{}/auth/v1/{path}", target.url)).timeout(TIMEOUT).json(body);
    request = request.header("apikey", header("")?);
    // A new key is not a JWT and must not be sent as a bearer token.
    if ApiKey::try_from(key)?.is_jwt() {
        request = request.header(AUTHORIZATION, header("Bearer ")?);
    }
    let response = request.send().await.with_context(|| format!("{} does not respond", target.url))?;
    let status = response.status();
    if !status.is_success() {
        let error: Value = response.json().await.unwrap_or_default();
        let code = error.get("error_code").and_then(Value::as_str).unwrap_or("no code");
        bail!(
            "Supabase Auth returns {status} ({code}) to /auth/v1/{path}. Is --supabase-database-url of the same project?"
        );
    }
    response
        .json()
        .await
        .with_context(|| format!("the response to /auth/v1/{path} is not one of Supabase Auth"))
}
