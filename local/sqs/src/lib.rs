//! local-sqs
