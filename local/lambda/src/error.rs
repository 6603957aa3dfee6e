//! Invocation errors, with the error types and messages of Lambda.

use std::time::Duration;

use serde_json::json;

/// Reason why a function cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Not a valid name in Lambda: letters, digits, hyphens and underscores, at most 64.
    #[error("{0:?} is not a function name")]
    Name(String),
    /// A function without instances or time can never respond.
    #[error("function {0}: max_instances and timeout must be above zero")]
    Limits(String),
    /// The executable does not exist or is not a file.
    #[error("function {name}: no executable at {path}")]
    Executable {
        /// Name of the function.
        name: String,
        /// Configured path.
        path: String,
    },
}

/// Reason why an invocation has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The function returned an error.
    #[error("{error_type}: {error_message}")]
    Handled {
        /// `errorType` as the function reported it.
        error_type: String,
        /// `errorMessage` as the function reported it.
        error_message: String,
    },
    /// The function did not respond before its deadline; its process was killed.
    #[error("RequestId: {request_id} Error: Task timed out after {:.2} seconds", .after.as_secs_f64())]
    Timeout {
        /// Request id of the invocation.
        request_id: String,
        /// The function's timeout.
        after: Duration,
    },
    /// The process ended during the invocation.
    #[error("RequestId: {request_id} Error: {reason}")]
    Crashed {
        /// Request id of the invocation.
        request_id: String,
        /// `Runtime exited with error: exit status 1`, for example.
        reason: String,
    },
    /// No process could be started: it ended, failed or timed out before its first poll.
    #[error("{error_type}: {error_message}")]
    Init {
        /// `Runtime.ExitError`, or the type that the process reported to `init/error`.
        error_type: String,
        /// Description of the failure.
        error_message: String,
    },
    /// The event exceeds Lambda's limit (6 MB).
    #[error("{0} byte payload is too large for an invocation (limit 6291456 bytes)")]
    TooLarge(usize),
    /// The function was stopped.
    #[error("the function was stopped")]
    Shutdown,
}

impl InvokeError {
    /// Lambda's name of this failure, the `errorType` of the response.
    #[must_use]
    pub fn error_type(&self) -> &str {
        match self {
            Self::Handled { error_type, .. } | Self::Init { error_type, .. } => error_type,
            Self::Timeout { .. } => "Sandbox.Timedout",
            Self::Crashed { .. } => "Runtime.ExitError",
            Self::TooLarge(_) => "RequestEntityTooLargeException",
            Self::Shutdown => "ServiceException",
        }
    }

    /// The JSON body of the `Invoke` response.
    #[must_use]
    pub fn payload(&self) -> serde_json::Value {
        let message = match self {
            Self::Handled { error_message, .. } | Self::Init { error_message, .. } => error_message.clone(),
            other => other.to_string(),
        };
        json!({"errorType": self.error_type(), "errorMessage": message})
    }
}
