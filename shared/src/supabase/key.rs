//! API keys of a Supabase project, of both kinds.

use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};

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
    Jwt,
}

/// Text that is no API key. The text itself is not repeated.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a Supabase API key: expected sb_publishable_…, sb_secret_… or a JWT (eyJ…)")]
pub struct ApiKeyError;

impl ApiKey {
    /// Whether it is one of the older keys, a JWT.
    #[must_use]
    pub fn is_jwt(&self) -> bool {
        self.kind == Kind::Jwt
    }

    /// Whether it is a publishable key of the new kind, which may not write.
    #[must_use]
    pub fn is_publishable(&self) -> bool {
        self.kind == Kind::Publishable
    }

    /// Whether it is a secret key of the new kind, which passes row-level security.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
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
        } else if text.starts_with("eyJ") && text.split('.').count() == 3 {
            Kind::Jwt
        } else {
            return Err(ApiKeyError);
        };
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiKeyError);
        }
        Ok(Self { secret: SecretString::from(text), kind })
    }
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

    #[test]
    fn both_kinds_are_told_apart_and_none_is_printed() {
        let publishable: ApiKey = "sb_publishable_abc".parse().expect("a key");
        let secret: ApiKey = "sb_secret_abc".parse().expect("a key");
        let jwt: ApiKey = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln".parse().expect("a key");
        assert!(publishable.is_publishable() && secret.is_secret() && jwt.is_jwt());
        assert!(!publishable.is_jwt() && !secret.is_jwt());
        assert!(!format!("{publishable:?}{secret:?}{jwt:?}").contains("abc"));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for text in ["", "abc", "sb_secret_with space", "eyJ.two", "sb_secret_a\nb"] {
            let error = text.parse::<ApiKey>().expect_err(text);
            assert!(text.is_empty() || !error.to_string().contains(text));
        }
    }
}
