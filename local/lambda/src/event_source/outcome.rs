//! Parsing of a partial batch response.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting>

use std::collections::HashSet;

use serde_json::Value;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum BatchOutcome {
    /// Ids of the failed messages; the others succeeded.
    Failed(HashSet<String>),
    /// Malformed response: the whole batch failed.
    Invalid(&'static str),
}

/// Parses the partial batch response for the messages in `batch`.
pub(super) fn outcome(response: &[u8], batch: &HashSet<String>) -> BatchOutcome {
    // No response, `null`, `{}` and an empty or null list: the whole batch succeeded.
    if response.trim_ascii().is_empty() {
        return BatchOutcome::Failed(HashSet::new());
    }
    let failures = match serde_json::from_slice(response) {
        Err(_) => return BatchOutcome::Invalid("not JSON"),
        Ok(Value::Null) => Value::Null,
        Ok(Value::Object(mut response)) => response.remove("batchItemFailures").unwrap_or_default(),
        Ok(_) => return BatchOutcome::Invalid("not an object"),
    };
    let failures = match failures {
        Value::Null => Vec::new(),
        Value::Array(failures) => failures,
        _ => return BatchOutcome::Invalid("batchItemFailures is not a list"),
    };
    let mut failed = HashSet::new();
    for failure in failures {
        match failure.get("itemIdentifier").and_then(Value::as_str) {
            Some(id) if batch.contains(id) => failed.insert(id.to_owned()),
            Some(_) => return BatchOutcome::Invalid("itemIdentifier is not in the batch"),
            None => return BatchOutcome::Invalid("a failure without itemIdentifier"),
        };
    }
    BatchOutcome::Failed(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(response: &str) -> BatchOutcome {
        outcome(response.as_bytes(), &HashSet::from(["a".to_owned(), "b".to_owned()]))
    }

    #[test]
    fn empty_response_is_a_success_of_the_whole_batch() {
        for response in [
            "",
            " ",
            "null",
            "{}",
            r#"{"batchItemFailures":[]}"#,
            r#"{"batchItemFailures":null}"#,
            r#"{"x":1}"#,
        ] {
            assert_eq!(parse(response), BatchOutcome::Failed(HashSet::new()), "{response}");
        }
    }

    #[test]
    fn listed_messages_failed_and_the_others_succeeded() {
        let one = r#"{"batchItemFailures":[{"itemIdentifier":"b"}]}"#;
        assert_eq!(parse(one), BatchOutcome::Failed(HashSet::from(["b".to_owned()])));
    }

    #[test]
    fn malformed_response_is_a_failure_of_the_whole_batch() {
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
            assert!(matches!(parse(response), BatchOutcome::Invalid(_)), "{response}");
        }
    }
}
