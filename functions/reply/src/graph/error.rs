//! What can go wrong between us and the Graph API, and what to do about it.

use std::fmt;

use serde::Deserialize;

/// What an error means for the message that was to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// It passes: try again, later and later.
    Passing,
    /// Meta wants fewer messages: slow down, and tell an operator.
    SlowDown,
    /// The credentials or the account: an operator must act, then the same message can go out.
    Account,
    /// This message can never go out.
    Final,
}

/// A text that was not sent, or of which nobody knows whether it was.
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
    /// `error.code`: what to decide on.
    pub code: Option<i64>,
    /// `error.fbtrace_id`: what Meta's support asks for.
    pub fbtrace_id: Option<String>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Graph API answered {}", self.status)?;
        if let Some(code) = self.code {
            write!(f, ", code {code}")?;
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
            Self::Unreachable | Self::Lost => Class::Passing,
            Self::Rejected(rejection) => rejection.class(),
            // The token or the address: every message would meet the same.
            Self::Unsendable => Class::Account,
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
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            error: Error,
        }
        #[derive(Deserialize)]
        struct Error {
            code: Option<i64>,
            fbtrace_id: Option<String>,
        }
        let error = serde_json::from_slice::<Body>(body).ok().map(|body| body.error);
        let (code, fbtrace_id) = error.map_or((None, None), |error| (error.code, error.fbtrace_id));
        // An id is short and plain; whatever else stands there is not for a log.
        let plain = |id: &String| {
            id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
        };
        Self { status, code, fbtrace_id: fbtrace_id.filter(plain) }
    }

    /// What it means for the message, by its code.
    ///
    /// An error without a code that we know is judged by its status, and is never final: better a dead
    /// letter that a person looks at than an answer that nobody misses.
    /// Source: “Error codes”, WhatsApp Business Platform documentation, November 2026.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.code {
            Some(1 | 2 | 4 | 80007 | 130_429 | 131_000 | 131_016 | 131_056 | 131_057 | 133_004) => {
                Class::Passing
            }
            Some(131_048 | 131_049 | 131_064) => Class::SlowDown,
            // 131030 is about a test number, which sends only to the numbers in its list.
            Some(0 | 3 | 10 | 190 | 200..=299 | 368 | 131_030 | 131_031 | 131_042 | 133_010) => {
                Class::Account
            }
            Some(
                33
                | 100
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
            ) => Class::Final,
            _ if matches!(self.status, 401 | 403) => Class::Account,
            _ => Class::Passing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, code: Option<i64>) -> Class {
        Rejection { status, code, fbtrace_id: None }.class()
    }

    #[test]
    fn codes_decide_and_not_the_status() {
        for code in [1, 2, 4, 80007, 130_429, 131_000, 131_016, 131_056, 131_057, 133_004] {
            assert_eq!(class(400, Some(code)), Class::Passing, "{code}");
        }
        for code in [131_048, 131_049, 131_064] {
            assert_eq!(class(400, Some(code)), Class::SlowDown, "{code}");
        }
        for code in [0, 3, 10, 190, 200, 299, 368, 131_030, 131_031, 131_042, 133_010] {
            assert_eq!(class(400, Some(code)), Class::Account, "{code}");
        }
        for code in [33, 100, 130_403, 130_472, 130_497, 131_008, 131_009, 131_021, 131_026, 131_047] {
            assert_eq!(class(500, Some(code)), Class::Final, "{code}");
        }
        for code in [131_050, 131_051, 131_062, 132_000, 132_001, 132_999] {
            assert_eq!(class(400, Some(code)), Class::Final, "{code}");
        }
    }

    #[test]
    fn an_error_that_we_do_not_know_is_never_final() {
        for (status, expected) in [
            (429, Class::Passing),
            (500, Class::Passing),
            (503, Class::Passing),
            (400, Class::Passing),
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
