//! Errors of the Graph API, and their classification for retries.

use std::fmt;

use shared::http::{How, NoAnswer};
use shared::meta::lenient::Object;

/// The consequence of an error for the message to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// Transient: retry with backoff.
    Transient,
    /// Meta's error is unspecific: retry a few times.
    Unclear,
    /// A rate limit of the account: retry with a long delay, and alert an operator.
    SlowDown,
    /// The credentials or the account: retry with a long delay, because an operator must act first.
    Account,
    /// The business number does not exist, or the access token may not use it: like [`Class::Account`] if the
    /// number belongs to this account, else like [`Class::Permanent`].
    Number,
    /// This message can never be sent.
    Permanent,
}

/// The failure of a send, after which the text was not sent or may have been sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// No connection: the text was not sent.
    #[error("the Graph API cannot be reached")]
    Unreachable,
    /// The request may have arrived, but no response did: the text may have been sent.
    #[error("the Graph API's response was lost")]
    Lost,
    /// Meta responded with an error.
    #[error("{0}")]
    Rejected(Rejection),
    /// The request could not be built.
    #[error("the request to the Graph API cannot be built: is the access token valid?")]
    Unsendable,
}

/// Meta's error response, without its texts, which may contain a phone number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`.
    pub code: Option<i64>,
    /// `error.error_subcode`, which narrows some codes.
    pub subcode: Option<i64>,
    /// Detail from the texts that the codes lack.
    pub detail: Detail,
    /// `error.fbtrace_id`, for requests to Meta's support.
    pub fbtrace_id: Option<String>,
}

/// Detail from the texts of an error response that its codes lack. The texts themselves are discarded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Detail {
    /// None that is relevant here.
    #[default]
    Unspecified,
    /// The object, here the business number, does not exist, or the access token may not use it.
    InaccessibleObject,
    /// The app requires an `appsecret_proof` with each call.
    MissingProof,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Graph API returned {}", self.status)?;
        if let Some(code) = self.code {
            write!(f, ", code {code}")?;
        }
        if let Some(subcode) = self.subcode {
            write!(f, ", subcode {subcode}")?;
        }
        match self.detail {
            Detail::Unspecified => {}
            Detail::InaccessibleObject => {
                f.write_str(", the business number does not exist or the access token may not use it")?
            }
            Detail::MissingProof => f.write_str(", the app requires an appsecret_proof")?,
        }
        if let Some(trace) = &self.fbtrace_id {
            write!(f, ", fbtrace_id {trace}")?;
        }
        Ok(())
    }
}

impl GraphError {
    /// Returns the consequence for the message.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable | Self::Lost => Class::Transient,
            Self::Rejected(rejection) => rejection.class(),
            // The token or the URL is invalid, for every message alike.
            Self::Unsendable => Class::Account,
        }
    }
}

impl From<NoAnswer> for GraphError {
    fn from(failed: NoAnswer) -> Self {
        match failed.how {
            How::NotSent => Self::Unreachable,
            How::ReusedConnectionBroke | How::Broke | How::Other => failed.error.into(),
        }
    }
}

impl From<reqwest::Error> for GraphError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_connect() {
            Self::Unreachable
        } else if error.is_builder() {
            Self::Unsendable
        } else {
            Self::Lost
        }
    }
}

impl Rejection {
    /// Builds a rejection with only this status and code.
    #[must_use]
    pub fn of(status: u16, code: Option<i64>) -> Self {
        Self { status, code, subcode: None, detail: Detail::Unspecified, fbtrace_id: None }
    }

    /// Parses the body of an error response, as far as it is readable.
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let error = Object::of(serde_json::from_slice(body).ok()).object("error");
        let number = |key| error.text(key).and_then(|text| text.trim().parse().ok());
        // A value that is not a short alphanumeric id may be personal data and must not be logged.
        let plain = |id: &String| {
            id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        };
        let message_has =
            |phrase: &str| error.text("message").is_some_and(|message| message.contains(phrase));
        let (code, subcode) = (number("code"), number("error_subcode"));
        let is_graph_method = error.text("type").as_deref() == Some("GraphMethodException");
        let detail = if message_has("appsecret_proof") {
            Detail::MissingProof
        } else if code == Some(100)
            && (subcode == Some(33) || is_graph_method || message_has("missing permissions"))
        {
            Detail::InaccessibleObject
        } else {
            Detail::Unspecified
        };
        Self { status, code, subcode, detail, fbtrace_id: error.string("fbtrace_id").filter(plain) }
    }

    /// Returns the consequence for the message, by code, subcode and type.
    ///
    /// An error without a known code is classified by its status, and is never permanent: a dead letter that an operator
    /// examines is better than a reply that is missing unnoticed.
    /// Source: “Error codes”, WhatsApp Business Platform documentation, and “Handle Errors”, Graph API documentation,
    /// November 2026.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.detail {
            Detail::MissingProof => return Class::Account,
            Detail::InaccessibleObject => return Class::Number,
            Detail::Unspecified => {}
        }
        match self.code {
            // 17, 341 and 613 are the Graph API's own rate limits.
            Some(
                1 | 2 | 4 | 17 | 341 | 613 | 80007 | 130_429 | 131_000 | 131_016 | 131_056 | 131_057
                | 133_004,
            ) => Class::Transient,
            // “Generic user error”.
            Some(135_000) => Class::Unclear,
            Some(131_048 | 131_049 | 131_064) => Class::SlowDown,
            // 101 and 102: the app or the session is unknown. 2500: no access token was received. 131005: access denied.
            // 131030: a test number sends only to the numbers in its list. 131037: the display name is not approved.
            // 131045 and 133010: the number is not registered, or not completely.
            Some(
                0
                | 3
                | 10
                | 101
                | 102
                | 190
                | 200..=299
                | 368
                | 2500
                | 131_005
                | 131_030
                | 131_031
                | 131_037
                | 131_042
                | 131_045
                | 133_010,
            ) => Class::Account,
            // 33: the business number was deleted. 803: an id that does not exist.
            Some(33 | 803) => Class::Number,
            Some(
                100
                | 130_403
                | 130_472
                | 130_497
                | 131_008
                | 131_009
                | 131_021
                | 131_026
                | 131_047
                | 131_050
                | 131_051
                | 131_062
                | 132_000..=132_999,
            ) => Class::Permanent,
            _ if matches!(self.status, 401 | 403) => Class::Account,
            _ => Class::Transient,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn class(status: u16, code: Option<i64>) -> Class {
        Rejection::of(status, code).class()
    }

    #[test]
    fn the_class_depends_on_the_code_and_not_on_the_status() {
        for code in [1, 2, 4, 17, 80007, 130_429, 131_000, 131_016, 131_056, 131_057, 133_004] {
            assert_eq!(class(400, Some(code)), Class::Transient, "{code}");
        }
        for code in [131_048, 131_049, 131_064] {
            assert_eq!(class(400, Some(code)), Class::SlowDown, "{code}");
        }
        for code in [0, 3, 10, 102, 190, 200, 299, 368, 2500, 131_030, 131_031, 131_037, 131_042, 131_045] {
            assert_eq!(class(400, Some(code)), Class::Account, "{code}");
        }
        for code in [131_005, 133_010] {
            assert_eq!(class(400, Some(code)), Class::Account, "{code}");
        }
        for code in [100, 130_403, 130_472, 130_497, 131_008, 131_009, 131_021, 131_026, 131_047] {
            assert_eq!(class(500, Some(code)), Class::Permanent, "{code}");
        }
        for code in [131_050, 131_051, 131_062, 132_000, 132_001, 132_999] {
            assert_eq!(class(400, Some(code)), Class::Permanent, "{code}");
        }
        assert_eq!(
            [33, 803, 135_000].map(|code| class(400, Some(code))),
            [Class::Number, Class::Number, Class::Unclear]
        );
    }

    #[test]
    fn code_100_concerns_the_message_the_number_or_the_app() {
        // Modelled on Meta's responses in public bug reports.
        let no_object = "Unsupported post request. Object with ID '106540352242922' does not exist, cannot be loaded \
            due to missing permissions, or does not support this operation";
        let proof = "API calls from the server require an appsecret_proof argument";
        for (error, expected) in [
            (
                json!({"message": "(#100) Invalid parameter", "type": "OAuthException", "code": 100}),
                Class::Permanent,
            ),
            (
                json!({"message": no_object, "type": "GraphMethodException", "code": 100, "error_subcode": 33}),
                Class::Number,
            ),
            (json!({"message": no_object, "type": "OAuthException", "code": 100}), Class::Number),
            (json!({"message": "…", "type": "GraphMethodException", "code": "100"}), Class::Number),
            (json!({"message": "…", "code": "100", "error_subcode": "33"}), Class::Number),
            (json!({"message": proof, "type": "GraphMethodException", "code": 100}), Class::Account),
        ] {
            let rejection = Rejection::read(400, json!({ "error": error }).to_string().as_bytes());
            assert_eq!(rejection.class(), expected, "{error}");
            assert!(!rejection.to_string().contains("106540352242922"), "{rejection}");
        }
    }

    #[test]
    fn an_error_body_with_unexpected_types_is_parsed() {
        for (body, expected) in [
            (
                json!({"error": {"code": "131047", "fbtrace_id": 12345}}),
                "returned 400, code 131047, fbtrace_id 12345",
            ),
            (json!({"error": {"code": [190], "error_subcode": " 463 "}}), "returned 400, subcode 463"),
            (json!({"error": "invalid_request"}), "returned 400"),
            (json!([]), "returned 400"),
        ] {
            let rejection = Rejection::read(400, body.to_string().as_bytes());
            assert_eq!(rejection.to_string(), format!("the Graph API {expected}"));
        }
    }

    #[test]
    fn an_unknown_error_is_never_permanent() {
        for (status, expected) in [
            (429, Class::Transient),
            (500, Class::Transient),
            (503, Class::Transient),
            (400, Class::Transient),
            (401, Class::Account),
        ] {
            assert_eq!(class(status, None), expected, "{status}");
            assert_eq!(class(status, Some(999_999)), expected, "{status}");
        }
    }

    #[test]
    fn texts_of_an_error_response_are_discarded() {
        let body = br#"{"error":{"message":"(#131030) 16505551234 not in allowed list","code":131030,
            "error_data":{"details":"16505551234"},"fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam"}}"#;
        let rejection = Rejection::read(400, body);
        let expected = "the Graph API returned 400, code 131030, fbtrace_id Az8or2yhqkZfEZ-_4Qn_Bam";
        assert_eq!(rejection.to_string(), expected);
        assert_eq!(Rejection::read(502, b"<html>").to_string(), "the Graph API returned 502");
    }
}
