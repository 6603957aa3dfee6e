//! Read-only calls of the Graph API, and the classification of its errors.

use std::fmt;

use reply::graph::{GraphVersion, PhoneNumberId};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::doctor::connection::{TIMEOUT, no_answer};

/// The requested fields of the phone number.
/// Source: “Business phone numbers”, WhatsApp Business Platform documentation.
const FIELDS: &str = "display_phone_number,verified_name,quality_rating,platform_type";

/// The settings of a call.
pub(super) struct Graph<'a> {
    pub(super) url: Url,
    pub(super) version: GraphVersion,
    pub(super) token: &'a SecretString,
    pub(super) http: &'a Client,
}

/// The failure of a call.
#[derive(Debug)]
pub(super) enum Failure {
    NoAnswer(String),
    Rejected(Rejection),
}

/// Meta's error, without its message.
/// Source: “Handle Errors”, Graph API documentation.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Rejection {
    #[serde(default)]
    pub(super) status: u16,
    pub(super) code: Option<i64>,
    #[serde(rename = "error_subcode", alias = "subcode")]
    pub(super) subcode: Option<i64>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Meta returns {}", self.status)?;
        if let Some(code) = self.code {
            write!(f, ", code {code}")?;
        }
        if let Some(subcode) = self.subcode {
            write!(f, ", subcode {subcode}")?;
        }
        Ok(())
    }
}

/// The subject of a rejection.
pub(super) enum About {
    Token(&'static str),
    Permission,
    Number,
    Passing,
    Unknown,
}

impl Rejection {
    /// Source: “Error codes”, WhatsApp Business Platform documentation; the subcodes of 190: “Handle Errors”.
    pub(super) fn about(self) -> About {
        match (self.code, self.subcode) {
            (Some(190), Some(463)) => About::Token("it has expired"),
            (Some(190), Some(460)) => About::Token("its user's password was changed"),
            (Some(190), Some(458 | 467)) => About::Token("it was revoked"),
            (Some(190 | 0 | 102), _) => About::Token("unknown to Meta, or revoked"),
            (Some(3 | 10 | 200..=299), _) => About::Permission,
            (Some(100), Some(33)) | (Some(33 | 803), _) => About::Number,
            (Some(1 | 2 | 4 | 613 | 80_007 | 130_429 | 131_016), _) => About::Passing,
            _ if self.status == 401 => About::Token("Meta refuses it"),
            _ if self.status == 429 || self.status >= 500 => About::Passing,
            _ => About::Unknown,
        }
    }
}

/// The response of `debug_token`.
/// Source: <https://developers.facebook.com/docs/graph-api/reference/debug_token>
#[derive(Debug, Deserialize)]
pub(super) struct AboutToken {
    pub(super) data: TokenData,
}

#[derive(Debug, Deserialize)]
pub(super) struct TokenData {
    #[serde(default)]
    pub(super) is_valid: bool,
    /// Expiry in seconds since 1970; 0 for none.
    #[serde(default)]
    pub(super) expires_at: i64,
    pub(super) scopes: Option<Vec<String>>,
    pub(super) error: Option<Rejection>,
}

/// The response about a phone number.
#[derive(Debug, Deserialize)]
pub(super) struct AboutNumber {
    pub(super) display_phone_number: Option<String>,
    pub(super) verified_name: Option<String>,
    pub(super) quality_rating: Option<String>,
    pub(super) platform_type: Option<String>,
}

impl Graph<'_> {
    pub(super) async fn about_token(&self) -> Result<AboutToken, Failure> {
        self.get("debug_token", ("input_token", self.token.expose_secret())).await
    }

    pub(super) async fn about_number(&self, id: &str) -> Result<AboutNumber, Failure> {
        // Not an id: no request is sent, and the number is the wrong setting.
        let rejection = Rejection { status: 400, code: Some(33), subcode: None };
        let id: PhoneNumberId = id.parse().map_err(|_| Failure::Rejected(rejection))?;
        self.get(&id.to_string(), ("fields", FIELDS)).await
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str, query: (&str, &str)) -> Result<T, Failure> {
        #[derive(Deserialize)]
        struct Body {
            error: Rejection,
        }
        let no_answer = |error: reqwest::Error| Failure::NoAnswer(no_answer(&error));
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend([self.version.as_str(), path]);
        }
        url.query_pairs_mut().append_pair(query.0, query.1);
        let request = self.http.get(url).bearer_auth(self.token.expose_secret()).timeout(TIMEOUT);
        let response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        let body = response.bytes().await.map_err(no_answer)?;
        if status.is_success()
            && let Ok(answer) = serde_json::from_slice(&body)
        {
            return Ok(answer);
        }
        let rejection = serde_json::from_slice::<Body>(&body).map(|body| body.error).unwrap_or_default();
        Err(Failure::Rejected(Rejection { status: status.as_u16(), ..rejection }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_codes_identify_the_wrong_setting() {
        let about = |status, code, subcode| match (Rejection { status, code, subcode }).about() {
            About::Token(what) => what,
            About::Permission => "permission",
            About::Number => "number",
            About::Passing => "passing",
            About::Unknown => "unknown",
        };
        for (status, code, subcode, expected) in [
            (401, Some(190), Some(463), "it has expired"),
            (401, Some(190), Some(467), "it was revoked"),
            (400, Some(190), None, "unknown to Meta, or revoked"),
            (401, None, None, "Meta refuses it"),
            (403, Some(10), None, "permission"),
            (403, Some(200), None, "permission"),
            (400, Some(100), Some(33), "number"),
            (400, Some(803), None, "number"),
            (400, Some(4), None, "passing"),
            (503, None, None, "passing"),
            (400, Some(100), None, "unknown"),
            (404, None, None, "unknown"),
        ] {
            assert_eq!(about(status, code, subcode), expected, "{status} {code:?} {subcode:?}");
        }
    }
}
