//! The measured functions, and their environment with the URLs of the stubs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{binaries::Built, events};
use local_stack::services::{ACCESS_TOKEN, APP_SECRET, GRAPH_API_VERSION, PHONE_NUMBER_ID, VERIFY_TOKEN};

/// Messages of a page.
pub const PAGE: usize = 50;

/// A measured function.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Function {
    /// Returns a constant.
    Baseline,
    /// Receives Meta's webhook requests.
    Webhook,
    /// Replies and stores both messages.
    Reply,
    /// Serves the history.
    Messages,
}

impl Function {
    /// All functions, the baseline first.
    pub const ALL: [Self; 4] = [Self::Baseline, Self::Webhook, Self::Reply, Self::Messages];
    /// The functions compared with the baseline.
    pub const OURS: [Self; 3] = [Self::Webhook, Self::Reply, Self::Messages];

    /// Returns the name of the function and of its package.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Webhook => "webhook",
            Self::Reply => "reply",
            Self::Messages => "messages",
        }
    }

    /// Returns its typical event: one message, or a page; numbered from `first` on, so that no message is repeated.
    ///
    /// # Errors
    /// Never in practice; see [`events::reply`].
    pub fn event(self, first: usize) -> anyhow::Result<String> {
        Ok(match self {
            // The baseline ignores its event, which is as large as a message's.
            Self::Baseline | Self::Webhook => events::webhook(&events::payload(first, 1, None)),
            Self::Reply => events::reply(first, 1)?,
            Self::Messages => events::messages(PAGE),
        })
    }

    /// Returns whether a response reports success.
    #[must_use]
    pub fn is_success(self, answer: &[u8]) -> bool {
        let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
        match self {
            Self::Baseline => answer == "ok",
            Self::Webhook => answer["statusCode"] == 200,
            Self::Messages => answer["statusCode"] == 200 && rows(&answer) > 0,
            Self::Reply => answer["batchItemFailures"].as_array().is_some_and(Vec::is_empty),
        }
    }

    /// Returns the number of rows of a page of `messages`.
    #[must_use]
    pub fn page_size(answer: &[u8]) -> usize {
        rows(&serde_json::from_slice(answer).unwrap_or_default())
    }

    /// Returns its environment, with every service at `url`. The same as in the template, except for the secrets, which
    /// are variables: the time of reading them depends on Secrets Manager alone.
    #[must_use]
    pub fn environment(self, url: &str) -> BTreeMap<String, String> {
        let queue = |name: &str| format!("https://sqs.us-east-1.amazonaws.com/000000000000/{name}");
        let queues = [
            ("INBOUND_QUEUE_URL", queue("inbound.fifo")),
            ("INBOUND_DEAD_LETTERS_URL", queue("inbound-dead-letters.fifo")),
            ("RECORD_QUEUE_URL", queue("records")),
            ("RECORD_DEAD_LETTERS_URL", queue("record-dead-letters")),
            ("AWS_ENDPOINT_URL_SQS", url.to_owned()),
        ];
        let own: Vec<(&str, String)> = match self {
            Self::Baseline => Vec::new(),
            Self::Webhook => [
                ("WHATSAPP_APP_SECRET", APP_SECRET.to_owned()),
                ("WHATSAPP_VERIFY_TOKEN", VERIFY_TOKEN.to_owned()),
            ]
            .into_iter()
            .chain(queues)
            .collect(),
            Self::Reply => [
                ("WHATSAPP_ACCESS_TOKEN", ACCESS_TOKEN.to_owned()),
                ("WHATSAPP_PHONE_NUMBER_ID", PHONE_NUMBER_ID.to_owned()),
                ("GRAPH_API_VERSION", GRAPH_API_VERSION.to_owned()),
                ("GRAPH_API_URL", url.to_owned()),
                ("SUPABASE_URL", url.to_owned()),
                ("SUPABASE_SECRET_KEY", "sb_secret_bench".to_owned()),
            ]
            .into_iter()
            .chain(queues)
            .collect(),
            Self::Messages => vec![
                ("SUPABASE_URL", url.to_owned()),
                ("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_bench".to_owned()),
            ],
        };
        // Source: “Defined runtime environment variables”, AWS Lambda Developer Guide.
        let lambda = [
            ("AWS_LAMBDA_FUNCTION_NAME", self.name()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/bench"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/24/[$LATEST]0"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "bench"),
            ("AWS_SESSION_TOKEN", "bench"),
            ("RUST_LOG", "info"),
            ("LANG", "en_US.UTF-8"),
            ("TZ", ":UTC"),
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ];
        let lambda = lambda.into_iter().map(|(name, value)| (name, value.to_owned()));
        lambda.chain(own).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Returns its path.
    #[must_use]
    pub fn binary(self, built: &Built) -> &Path {
        let path: &PathBuf = match self {
            Self::Baseline => &built.baseline,
            Self::Webhook => &built.functions.webhook,
            Self::Reply => &built.functions.reply,
            Self::Messages => &built.functions.messages,
        };
        path
    }
}

/// Returns the number of rows of a page in API Gateway's format.
fn rows(answer: &serde_json::Value) -> usize {
    let body = answer["body"].as_str().unwrap_or_default();
    let rows: Vec<serde_json::Value> = serde_json::from_str(body).unwrap_or_default();
    rows.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_page_is_not_measured() {
        let page = |body: &str| serde_json::json!({"statusCode": 200, "body": body}).to_string().into_bytes();
        assert!(!Function::Messages.is_success(&page("[]")));
        assert!(Function::Messages.is_success(&page("[{},{}]")));
        assert_eq!(Function::page_size(&page("[{},{}]")), 2);
    }
}
