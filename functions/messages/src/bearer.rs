//! The caller's token: `Authorization: Bearer <JWT>` (RFC 6750).

use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::SecretString;

/// The token is missing or malformed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a bearer token is required: Authorization: Bearer <your access token>")]
pub struct NoToken;

/// Returns the token of a request. Supabase verifies the token.
///
/// # Errors
/// When the header is missing, repeated, or holds characters outside the token alphabet.
pub fn token(headers: &HeaderMap) -> Result<SecretString, NoToken> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(NoToken) };
    let (scheme, token) = value.to_str().map_err(|_| NoToken)?.trim().split_once(' ').ok_or(NoToken)?;
    let token = token.trim();
    // RFC 6750, section 2.1: b64token.
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let usable = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.bytes().all(is_allowed);
    if usable { Ok(SecretString::from(token)) } else { Err(NoToken) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use secrecy::ExposeSecret;

    use super::*;

    fn read(value: &str) -> Result<String, NoToken> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
        token(&headers).map(|token| token.expose_secret().to_owned())
    }

    #[test]
    fn the_scheme_of_a_bearer_token_is_case_insensitive() {
        assert_eq!(read("Bearer a.b-c_d.e=").as_deref(), Ok("a.b-c_d.e="));
        assert_eq!(read("bearer  a.b.c ").as_deref(), Ok("a.b.c"));
    }

    #[test]
    fn any_other_header_is_not_a_token() {
        for value in ["", "Bearer", "Bearer ", "Basic dTpw", "a.b.c", "Bearer a b", "Bearer a,Bearer b"] {
            assert_eq!(read(value), Err(NoToken), "{value}");
        }
        assert_eq!(token(&HeaderMap::new()).map(|_| ()), Err(NoToken));
    }
}
