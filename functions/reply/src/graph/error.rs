//! What can go wrong between us and the Graph API, and what to do about it.

use std::fmt;

use shared::http::{How, NoAnswer};
use shared::lenient::Object;

/// What an error means for the message that was to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// It passes: try again, later and later.
    Passing,
    /// Meta says nothing that could be acted on: try again a few times.
    Unclear,
    /// Meta wants fewer messages: slow down, and tell an operator.
    SlowDown,
    /// The credentials or the account: an operator must act, then the same message can go out.
    Account,
    /// The business number does not exist, or the access token may not use it: [`Class::Account`] when the number is
    /// this account's, [`Class::Permanent`] when it is a foreign one.
    Number,
    /// This message can never go out.
    Final,
}

/// A text that was not sent, or for which it is unknown whether it was.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum GraphError {
    /// No connection: it was not sent.
    #[error("the Graph API cannot be reached")]
    Unreachable,
    /// The request may have arrived, its answer did not: it may have been sent.
    #[error("the Graph API's answer was lost")]
    Lost,
    /// Meta answered with an error.
    #[error("{0}")]
    Rejected(Rejection),
    /// The request could not be written down.
    #[error("the request to the Graph API cannot be built: is the access token one?")]
    Unsendable,
}

/// Meta's error answer, without its texts, which may repeat a phone number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`.
    pub code: Option<i64>,
    /// `error.error_subcode`, which narrows some codes.
    pub subcode: Option<i64>,
    /// What the texts say beyond the codes.
    pub says: Detail,
    /// `error.fbtrace_id`: what Meta's support asks for.
    pub fbtrace_id: Option<String>,
}

/// What the texts of an error answer say beyond its codes. The texts themselves are not kept.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Detail {
    /// Nothing that matters here.
    #[default]
    Nothing,
    /// The object, here the business number, does not exist, or the access token may not use it.
    NoObject,
    /// The app demands an `appsecret_proof` with each call.
    NoProof,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Graph API answered {}", self.status)?;
        if let Some(code) = self.code {
            write!(f, ", code {code}")?;
        }
        if let Some(subcode) = self.subcode {
            write!(f, ", subcode {subcode}")?;
        }
        match self.says {
            Detail::Unspecified => {}
            Detail::InaccessibleObject => {
                f.write_str(", the business number does not exist or the access token may not use it")?
            }
            Detail::MissingProof => f.write_str(", the app demands an appsecret_proof")?,
        }
        if let Some(trace) = &self.fbtrace_id {
            write!(f, ", fbtrace_id {trace}")?;
        }
        Ok(())
    }
}

impl GraphError {
    /// What it means for the message.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable | Self::Lost => Class::Transient,
            Self::Rejected(rejection) => rejection.class(),
            // The token or the address: every message would meet the same.
            Self::Unsendable => Class::Account,
        }
    }
}

impl From<NoAnswer> for GraphError {
    fn from(failed: NoAnswer) -> Self {
        match failed.how {
            How::NotSent => Self::Unreachable,
            How::KeptConnectionBroke | How::Broke | How::Other => failed.error.into(),
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
    /// An answer with this status and code, and nothing else.
    #[must_use]
    pub fn of(status: u16, code: Option<i64>) -> Self {
        Self { status, code, subcode: None, says: Detail::Unspecified, fbtrace_id: None }
    }

    /// Reads the body of an error answer, as far as it can be read.
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let error = Object::of(serde_json::from_slice(body).ok()).object("error");
        let number = |key| error.text(key).and_then(|text| text.trim().parse().ok());
        // An id is short and plain; whatever else stands there is not for a log.
        let plain = |id: &String| {
            id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        };
        let says = |phrase: &str| error.text("message").is_some_and(|message| message.contains(phrase));
        let (code, subcode) = (number("code"), number("error_subcode"));
        let is_graph_method = error.text("type").as_deref() == Some("GraphMethodException");
        let says = if says("appsecret_proof") {
            Detail::MissingProof
        } else if code == Some(100) && (subcode == Some(33) || is_graph_method || says("missing permissions"))
        {
            Detail::InaccessibleObject
        } else {
            Detail::Unspecified
        };
        Self { status, code, subcode, says, fbtrace_id: error.string("fbtrace_id").filter(plain) }
    }

    /// What it means for the message, by code, subcode and type.
    ///
    /// An error without a code that we know is judged by its status, and is never final: better a dead
    /// letter that a person looks at than an answer that is missing unnoticed.
    /// Source: “Error codes”, WhatsApp Business Platform documentation, and “Handle Errors”, Graph API documentation,
    /// November 2026.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.says {
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
            // 101 and 102: the app or the session is not known. 2500: no access token arrived. 131005: access denied.
            // 131030: a test number sends only to the numbers in its list. 131037: the display name is not approved.
            // 131045 and 133010: the number is not registered, or not wholly.
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
    fn codes_decide_and_not_the_status() {
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
    fn code_100_is_about_the_message_the_number_or_the_app() {
        // As Meta answers, after public bug reports.
        let unseen = "Unsupported post request. Object with ID '106540352242922' does not exist, cannot be loaded \
            due to missing permissions, or does not support this operation";
        let proof = "API calls from the server require an appsecret_proof argument";
        for (error, expected) in [
            (
                json!({"message": "(#100) Invalid parameter", "type": "OAuthException", "code": 100}),
                Class::Permanent,
            ),
            (
                json!({"message": unseen, "type": "GraphMethodException", "code": 100, "error_subcode": 33}),
                Class::Number,
            ),
            (json!({"message": unseen, "type": "OAuthException", "code": 100}), Class::Number),
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
    fn an_error_body_of_other_types_is_read() {
        for (body, expected) in [
            (
                json!({"error": {"code": "131047", "fbtrace_id": 12345}}),
                "answered 400, code 131047, fbtrace_id 12345",
            ),
            (json!({"error": {"code": [190], "error_subcode": " 463 "}}), "answered 400, subcode 463"),
            (json!({"error": "invalid_request"}), "answered 400"),
            (json!([]), "answered 400"),
        ] {
            let rejection = Rejection::read(400, body.to_string().as_bytes());
            assert_eq!(rejection.to_string(), format!("the Graph API {expected}"));
        }
    }

    #[test]
    fn an_error_that_we_do_not_know_is_never_final() {
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
    fn texts_of_an_error_answer_are_not_kept() {
        let body = br#"{"error":{"message":"(#131030) 16505551234 not in allowed list","code":131030,
            "error_data":{"details":"16505551234"},"fbtrace_id":"Az8or2yhqkZfEZ-_4Qn_Bam"}}"#;
        let rejection = Rejection::read(400, body);
        let expected = "the Graph API answered 400, code 131030, fbtrace_id Az8or2yhqkZfEZ-_4Qn_Bam";
        assert_eq!(rejection.to_string(), expected);
        assert_eq!(Rejection::read(502, b"<html>").to_string(), "the Graph API answered 502");
    }
}
