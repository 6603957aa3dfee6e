//! What a response says about the messages of its batch.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>

use std::collections::HashSet;

use serde_json::Value;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The ids of the messages that failed; the others succeeded.
    Failed(HashSet<String>),
    /// The whole batch failed: Lambda does not guess.
    Invalid(&'static str),
}

/// Reads a partial batch response about the messages in `batch`.
pub(super) fn verdict(response: &[u8], batch: &HashSet<String>) -> Verdict {
    // No response, `null`, `{}` and an empty or null list: everything succeeded.
    if response.trim_ascii().is_empty() {
        return Verdict::Failed(HashSet::new());
    }
    let failures = match serde_json::from_slice(response) {
        Err(_) => return Verdict::Invalid("not JSON"),
        Ok(Value::Null) => Value::Null,
        Ok(Value::Object(mut response)) => response.remove("batchItemFailures").unwrap_or_default(),
        Ok(_) => return Verdict::Invalid("not an object"),
    };
    let failures = match failures {
        Value::Null => Vec::new(),
        Value::Array(failures) => failures,
        _ => return Verdict::Invalid("batchItemFailures is not a list"),
    };
    let mut failed = HashSet::new();
    for failure in failures {
        match failure.get("itemIdentifier").and_then(Value::as_str) {
            Some(id) if batch.contains(id) => failed.insert(id.to_owned()),
            Some(_) => return Verdict::Invalid("itemIdentifier of no message in the batch"),
            None => return Verdict::Invalid("a failure without itemIdentifier"),
        };
    }
    Verdict::Failed(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(response: &str) -> Verdict {
        verdict(response.as_bytes(), &HashSet::from(["a".to_owned(), "b".to_owned()]))
    }

    #[test]
    fn an_empty_response_is_a_success_of_the_whole_batch() {
        for response in [
            "",
            " ",
            "null",
            "{}",
            r#"{"batchItemFailures":[]}"#,
            r#"{"batchItemFailures":null}"#,
            r#"{"x":1}"#,
        ] {
            assert_eq!(judge(response), Verdict::Failed(HashSet::new()), "{response}");
        }
    }

    #[test]
    fn named_messages_failed_and_the_others_succeeded() {
        let one = r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#;
        assert_eq!(judge(one), Verdict::Failed(HashSet::from(["b".to_owned()])));
    }

    #[test]
    fn a_malformed_response_is_a_failure_of_the_whole_batch() {
        for response in [
            "{",
            "\"done\"",
            "[]",
            r#"{"batchItemFailures":"a"}"#,
            r#"{"batchItemFailures":["a"]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
            r#"{"batchItemFailures":[{"itemId":"a"}]}"#,
            r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"c"}]}"#,
        ] {
            assert!(matches!(judge(response), Verdict::Invalid(_)), "{response}");
        }
    }
}
