//! Errors of requests to Supabase.

use serde::Deserialize;

/// A failed request to the REST API. The message never repeats more of PostgREST's error than the code, because its
/// messages and details may quote row values.
#[derive(Debug, thiserror::Error)]
pub enum SupabaseError {
    /// The request timed out. Whether it took effect is unknown.
    #[error("Supabase did not respond in time")]
    Timeout,
    /// There was no connection, or it broke.
    #[error("Supabase cannot be reached")]
    Unreachable,
    /// PostgREST, or the gateway in front of it, returned an error.
    #[error("Supabase returned {status} ({})", code.as_deref().unwrap_or("no code"))]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// PostgREST's code (`PGRST…`) or PostgreSQL's (`42501`).
        code: Option<String>,
    },
    /// The API may not assume the role in a token. PostgREST returns 403 and 42501, as for a role that lacks a grant;
    /// but in this case another token would help.
    #[error("Supabase refused the token's role")]
    RefusedRole,
    /// The request could not be built, for example because a token holds a line break.
    #[error("the request to Supabase cannot be built")]
    Unsendable,
}

impl SupabaseError {
    /// Whether the row that a row refers to is missing: PostgreSQL's `foreign_key_violation`.
    #[must_use]
    pub fn is_missing_reference(&self) -> bool {
        matches!(self, Self::Rejected { code: Some(code), .. } if code == "23503")
    }

    /// Whether the values of the rows are refused, so that neither a retry nor an operator can help: PostgreSQL's class
    /// 22 (`data_exception`), `not_null_violation`, `check_violation` and `program_limit_exceeded`, and a body that is
    /// too large. Source: “PostgreSQL Error Codes”.
    #[must_use]
    pub fn is_about_values(&self) -> bool {
        let Self::Rejected { status, code } = self else { return false };
        let code = code.as_deref().unwrap_or_default();
        *status == 413
            || matches!(code, "23502" | "23514" | "54000")
            || (code.len() == 5 && code.starts_with("22"))
    }

    pub(super) fn rejected(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct PostgrestError {
            code: Option<String>,
            message: Option<String>,
        }
        let body = serde_json::from_slice::<PostgrestError>(body).ok();
        let (code, message) = body.map(|body| (body.code, body.message)).unwrap_or_default();
        if message.is_some_and(|message| message.starts_with("permission denied to set role")) {
            return Self::RefusedRole;
        }
        // A code is short and of letters and digits: any other string is not a code.
        let code = code.filter(|code| code.len() <= 10 && code.bytes().all(|b| b.is_ascii_alphanumeric()));
        Self::Rejected { status, code }
    }
}

impl From<reqwest::Error> for SupabaseError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_builder() {
            Self::Unsendable
        } else {
            Self::Unreachable
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_values_are_distinguished_from_other_errors() {
        let rejected = |status, code: &str| SupabaseError::Rejected { status, code: Some(code.to_owned()) };
        for error in [
            rejected(400, "22P02"),
            rejected(400, "22001"),
            rejected(400, "23502"),
            rejected(400, "23514"),
            rejected(500, "54000"),
            SupabaseError::Rejected { status: 413, code: None },
        ] {
            assert!(error.is_about_values() && !error.is_missing_reference(), "{error}");
        }
        for error in [
            rejected(401, "PGRST301"),
            rejected(403, "42501"),
            rejected(404, "PGRST205"),
            rejected(400, "PGRST204"),
            rejected(400, "42703"),
            rejected(500, "57014"),
            rejected(409, "23505"),
            SupabaseError::Rejected { status: 503, code: None },
            SupabaseError::Timeout,
            SupabaseError::Unreachable,
        ] {
            assert!(!error.is_about_values() && !error.is_missing_reference(), "{error}");
        }
        assert!(rejected(409, "23503").is_missing_reference());
    }
}
