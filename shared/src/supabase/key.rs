//! API keys of a Supabase project, of both kinds.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// A project's API key.
///
/// New keys (`sb_publishable_…`, `sb_secret_…`) go into the header `apikey` only; the older ones (`anon`,
/// `service_role`) are JWTs and go into `Authorization` as well.
/// Source: “Understanding API keys” in Supabase's documentation.
#[derive(Clone, Debug)]
pub struct ApiKey {
    secret: SecretString,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Publishable,
    Secret,
    Jwt(JwtRole),
}

/// The role of an older key, from its claim `role`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum JwtRole {
    Anon,
    Service,
    /// A custom role of the project.
    Other,
}

/// A string that is not an API key. The error does not repeat the string.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a Supabase API key: expected sb_publishable_…, sb_secret_… or a whole JWT (eyJ…)")]
pub struct ApiKeyError;

impl ApiKey {
    /// Whether the key is one of the older ones, a JWT.
    #[must_use]
    pub fn is_jwt(&self) -> bool {
        matches!(self.kind, Kind::Jwt(_))
    }

    /// Whether the key is publishable, or the older `anon` key: it may not write.
    #[must_use]
    pub fn is_publishable(&self) -> bool {
        matches!(self.kind, Kind::Publishable | Kind::Jwt(JwtRole::Anon))
    }

    /// Whether the key is secret, or the older `service_role` key: it bypasses row-level security.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Jwt(JwtRole::Service))
    }

    pub(super) fn secret(&self) -> &SecretString {
        &self.secret
    }
}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let kind = if text.starts_with("sb_publishable_") {
            Kind::Publishable
        } else if text.starts_with("sb_secret_") {
            Kind::Secret
        } else {
            Kind::Jwt(role(text).ok_or(ApiKeyError)?)
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiKeyError);
        }
        Ok(Self { secret: SecretString::from(text), kind })
    }
}

/// Returns the role in a JWT's claims; `None` for a string that is not a JWT. Supabase verifies the signature.
fn role(jwt: &str) -> Option<JwtRole> {
    #[derive(Deserialize)]
    struct Claims {
        role: Option<String>,
    }
    let [header, claims, _signature] = jwt.split('.').collect::<Vec<_>>()[..] else { return None };
    if !header.starts_with("eyJ") {
        return None;
    }
    let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    Some(match claims.role.as_deref() {
        Some("anon") => JwtRole::Anon,
        Some("service_role") => JwtRole::Service,
        _ => JwtRole::Other,
    })
}

impl TryFrom<&SecretString> for ApiKey {
    type Error = ApiKeyError;

    fn try_from(secret: &SecretString) -> Result<Self, ApiKeyError> {
        secret.expose_secret().parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("eyJhbGciOiJIUzI1NiJ9.{}.abc", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn both_kinds_are_distinguished_and_neither_is_printed() {
        let publishable: ApiKey = "sb_publishable_abc".parse().expect("a key");
        let secret: ApiKey = "sb_secret_abc".parse().expect("a key");
        let jwt: ApiKey = jwt("{}").parse().expect("a key");
        assert!(publishable.is_publishable() && secret.is_secret() && jwt.is_jwt());
        assert!(!publishable.is_jwt() && !secret.is_jwt());
        assert!(!format!("{publishable:?}{secret:?}{jwt:?}").contains("abc"));
    }

    #[test]
    fn an_older_key_is_publishable_or_secret_by_its_role() {
        for (claims, publishable, secret) in [
            (r#"{"iss":"supabase","ref":"abc","role":"anon","iat":1,"exp":2}"#, true, false),
            (r#"{"iss":"supabase","ref":"abc","role":"service_role","iat":1,"exp":2}"#, false, true),
            (r#"{"role":"whatsapp_writer"}"#, false, false),
            (r#"{"role":null}"#, false, false),
            ("{}", false, false),
        ] {
            let key: ApiKey = jwt(claims).parse().expect("a key");
            assert!(key.is_jwt(), "{claims}");
            assert_eq!((key.is_publishable(), key.is_secret()), (publishable, secret), "{claims}");
        }
    }

    #[test]
    fn an_invalid_key_is_refused_and_not_repeated() {
        let (garbage, list) = (jwt("garbage"), jwt("[]"));
        for text in [
            "",
            "abc",
            "sb_secret_with space",
            "sb_secret_a\nb",
            "eyJ.two",
            "eyJ.not base64.x",
            "eyJ.e30.x.y",
            "abc.e30.x",
            &garbage,
            &list,
            &format!("{} ", jwt("{}")),
        ] {
            let error = text.parse::<ApiKey>().expect_err(text);
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }
}
