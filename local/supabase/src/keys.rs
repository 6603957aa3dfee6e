//! The project's API keys, new and legacy, and tokens in the format of Supabase Auth.
//!
//! Well-known values, for one machine only.

use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::json;
use uuid::Uuid;

/// Signing secret of the JWTs: the default of `supabase start`.
pub const JWT_SECRET: &str = "super-secret-jwt-token-with-at-least-32-characters-long";

/// For clients; row-level security applies.
pub const PUBLISHABLE_KEY: &str = "sb_publishable_local";

/// For servers; bypasses row-level security.
pub const SECRET_KEY: &str = "sb_secret_local";

/// Roles of a key or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Anon,
    ServiceRole,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Anon => "anon",
            Self::ServiceRole => "service_role",
        }
    }

    /// A JWT of the role, like the legacy API keys: valid for ten years.
    pub(crate) fn token(self) -> anyhow::Result<String> {
        let now = Utc::now().timestamp();
        sign(
            &json!({ "iss": "supabase", "role": self.name(), "iat": now, "exp": now + 10 * 365 * 24 * 3600 }),
        )
    }
}

/// A user's access token with the claims of Supabase Auth, valid from now on.
pub(crate) fn user_token(user_id: Uuid, lifetime: Duration) -> anyhow::Result<String> {
    let now = Utc::now().timestamp();
    user_claims(user_id, now, now + i64::try_from(lifetime.as_secs())?)
}

/// A user's access token that expired an hour ago.
pub(crate) fn expired_token(user_id: Uuid) -> anyhow::Result<String> {
    let now = Utc::now().timestamp();
    user_claims(user_id, now - 7200, now - 3600)
}

fn user_claims(user_id: Uuid, issued_at: i64, expires_at: i64) -> anyhow::Result<String> {
    sign(&json!({
        "iss": "http://127.0.0.1/auth/v1",
        "sub": user_id,
        "aud": "authenticated",
        "role": "authenticated",
        "aal": "aal1",
        "session_id": Uuid::new_v4(),
        "is_anonymous": false,
        "iat": issued_at,
        "exp": expires_at,
    }))
}

/// The role of a token of this project; `None` if the token is invalid.
pub(crate) fn role(token: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        role: String,
    }
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_aud = false;
    let key = DecodingKey::from_secret(JWT_SECRET.as_bytes());
    jsonwebtoken::decode::<Claims>(token, &key, &validation).ok().map(|token| token.claims.role)
}

fn sign(claims: &serde_json::Value) -> anyhow::Result<String> {
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), claims, &key).context("cannot sign a token")
}
