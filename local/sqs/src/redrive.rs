//! Redrive policies: the dead-letter queue of a source queue, and the source queues that a dead-letter queue
//! allows.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Result, SqsError};

/// The attribute `RedrivePolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedrivePolicy {
    /// ARN of the dead-letter queue.
    pub dead_letter_target_arn: String,
    /// Receives allowed; the next one makes the message a dead letter. 1 to 1000.
    pub max_receive_count: u32,
}

impl RedrivePolicy {
    /// # Errors
    /// If the document is not a redrive policy.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct RedrivePolicyDocument {
            dead_letter_target_arn: Option<String>,
            max_receive_count: Option<Value>,
        }
        let invalid = |reason: &str| SqsError::invalid("RedrivePolicy", text, reason);
        let document: RedrivePolicyDocument =
            serde_json::from_str(text).map_err(|_| invalid("Redrive policy is not a valid JSON map."))?;
        let dead_letter_target_arn = document.dead_letter_target_arn.ok_or_else(|| {
            invalid("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
        })?;
        let count = document.max_receive_count.ok_or_else(|| {
            invalid("Redrive policy does not contain mandatory attribute: maxReceiveCount.")
        })?;
        // AWS accepts the number as a string too; CloudFormation sends a string.
        let max_receive_count = match &count {
            Value::Number(number) => number.as_u64(),
            Value::String(digits) => digits.parse().ok(),
            _ => None,
        }
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| (1..=1000).contains(count))
        .ok_or_else(|| {
            invalid("Invalid value for maxReceiveCount: it must be an integer between 1 and 1000, both inclusive.")
        })?;
        Ok(Self { dead_letter_target_arn, max_receive_count })
    }

    pub(crate) fn render(&self) -> String {
        serde_json::json!({
            "deadLetterTargetArn": self.dead_letter_target_arn,
            "maxReceiveCount": self.max_receive_count,
        })
        .to_string()
    }
}

/// The attribute `RedriveAllowPolicy`, with the original JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedriveAllowPolicy {
    text: String,
    permission: Permission,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Permission {
    All,
    None,
    Only(Vec<String>),
}

impl RedriveAllowPolicy {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct AllowPolicyDocument {
            redrive_permission: String,
            #[serde(default)]
            source_queue_arns: Vec<String>,
        }
        let invalid = |reason: &str| SqsError::invalid("RedriveAllowPolicy", text, reason);
        let document: AllowPolicyDocument = serde_json::from_str(text).map_err(|_| {
            invalid("Amazon SQS can't create the redrive allow policy, as it's not a valid JSON map.")
        })?;
        let permission = match (document.redrive_permission.as_str(), document.source_queue_arns.len()) {
            ("allowAll", 0) => Permission::All,
            ("denyAll", 0) => Permission::None,
            ("byQueue", 1..=10) => Permission::Only(document.source_queue_arns),
            _ => return Err(invalid("Amazon SQS can't create the redrive allow policy.")),
        };
        Ok(Self { text: text.to_owned(), permission })
    }

    pub(crate) fn allows(&self, source_arn: &str) -> bool {
        match &self.permission {
            Permission::All => true,
            Permission::None => false,
            Permission::Only(arns) => arns.iter().any(|arn| arn == source_arn),
        }
    }

    pub(crate) fn render(&self) -> String {
        self.text.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redrive_policy_accepts_count_as_number_or_string() {
        for count in ["3", "\"3\""] {
            let policy = RedrivePolicy::parse(&format!(
                r#"{{"deadLetterTargetArn":"arn:x","maxReceiveCount":{count}}}"#
            ));
            assert_eq!(policy.map(|policy| policy.max_receive_count), Ok(3));
        }
        for text in
            ["", "{}", r#"{"deadLetterTargetArn":"a"}"#, r#"{"deadLetterTargetArn":"a","maxReceiveCount":0}"#]
        {
            assert_eq!(
                RedrivePolicy::parse(text).map_err(|error| error.code()),
                Err("InvalidParameterValue")
            );
        }
    }
}
