//! What can go wrong between us and Supabase.

use serde::Deserialize;

/// A request to the REST API that gave no rows. Its text never repeats what PostgREST said beyond the
/// code, because messages and details may quote row values.
#[derive(Debug, thiserror::Error)]
pub enum SupabaseError {
    /// No whole answer within the time allowed. Whether the request took effect is unknown.
    #[error("Supabase did not answer in time")]
    Timeout,
    /// No connection, or one that broke off.
    #[error("Supabase cannot be reached")]
    Unreachable,
    /// PostgREST, or the gateway before it, answered with an error.
    #[error("Supabase answered {status} ({})", code.as_deref().unwrap_or("no code"))]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// PostgREST's code (`PGRST…`) or PostgreSQL's (`42501`).
        code: Option<String>,
    },
    /// The request could not be written down, for example because a token holds a line break.
    #[error("the request cannot be sent")]
    Unsendable,
}

impl SupabaseError {
    pub(super) fn rejected(status: u16, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct ErrorBody {
            code: Option<String>,
        }
        let code = serde_json::from_slice::<ErrorBody>(body).ok().and_then(|body| body.code);
        // A code is short and of letters and digits: anything else is not a code.
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
