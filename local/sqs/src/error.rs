//! SQS errors, and their encoding on the wire.
//!
//! The shapes, query codes and statuses are those of the SQS API reference ("Common errors" and the
//! errors of each action). A client of the JSON protocol reads the code from the header
//! `x-amzn-query-error`, because SQS spoke the older query protocol first.

/// An error of the queue. Its message is that of SQS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum SqsError {
    #[error("The specified queue does not exist.")]
    QueueDoesNotExist,
    #[error("A queue already exists with the same name and a different value for attribute {0}")]
    QueueNameExists(String),
    #[error("Only one PurgeQueue operation on {0} is allowed every 60 seconds.")]
    PurgeQueueInProgress(String),
    #[error("The input receipt handle is invalid.")]
    ReceiptHandleIsInvalid,
    #[error("The specified message isn't in flight.")]
    MessageNotInflight,
    #[error(
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to \
         #xFFFD | #x10000 to #x10FFFF"
    )]
    InvalidMessageContents,
    #[error("Batch requests cannot be longer than {limit} bytes. You have sent {sent} bytes.")]
    BatchRequestTooLong { limit: usize, sent: usize },
    #[error("Maximum number of entries per request are 10. You have sent {0}.")]
    TooManyEntriesInBatchRequest(usize),
    #[error("There should be at least one entry in the request.")]
    EmptyBatchRequest,
    #[error("Id {0} repeated.")]
    BatchEntryIdsNotDistinct(String),
    #[error(
        "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most \
         80 letters long."
    )]
    InvalidBatchEntryId,
    #[error("Unknown Attribute {0}.")]
    InvalidAttributeName(String),
    #[error("Invalid value for the parameter {0}.")]
    InvalidAttributeValue(String),
    #[error("The maximum number of in flight messages is reached.")]
    OverLimit,
    #[error("{0}")]
    ResourceNotFound(String),
    #[error("{0}")]
    UnsupportedOperation(String),
    #[error("The request must contain the parameter {0}.")]
    MissingParameter(&'static str),
    #[error("{0}")]
    InvalidParameterValue(String),
    #[error("The operation {0} is not known.")]
    UnknownOperation(String),
    #[error("The request is not well-formed: {0}")]
    Serialization(String),
    #[error("The request was denied due to request throttling.")]
    RequestThrottled,
    #[error("The service is temporarily unavailable.")]
    ServiceUnavailable,
    #[error("The request failed because of an internal error.")]
    InternalError,
}

impl SqsError {
    /// `Value {value} for parameter {parameter} is invalid. Reason: {reason}`, as worded by SQS.
    pub(crate) fn invalid(parameter: &str, value: impl std::fmt::Display, reason: &str) -> Self {
        Self::InvalidParameterValue(format!(
            "Value {value} for parameter {parameter} is invalid. Reason: {reason}"
        ))
    }

    /// The code of the query protocol, by which the SDKs identify the error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.names().1
    }

    /// The HTTP status of the response.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.names().2
    }

    /// Whether the sender is at fault, as opposed to the service.
    #[must_use]
    pub fn sender_fault(&self) -> bool {
        self.status() < 500
    }

    /// The `__type` of the JSON response.
    pub(crate) fn shape(&self) -> &'static str {
        self.names().0
    }

    fn names(&self) -> (&'static str, &'static str, u16) {
        match self {
            Self::QueueDoesNotExist => {
                ("com.amazonaws.sqs#QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", 400)
            }
            Self::QueueNameExists(_) => ("com.amazonaws.sqs#QueueNameExists", "QueueAlreadyExists", 400),
            Self::PurgeQueueInProgress(_) => {
                ("com.amazonaws.sqs#PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress", 403)
            }
            Self::ReceiptHandleIsInvalid => {
                ("com.amazonaws.sqs#ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", 404)
            }
            Self::MessageNotInflight => {
                ("com.amazonaws.sqs#MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", 400)
            }
            Self::InvalidMessageContents => {
                ("com.amazonaws.sqs#InvalidMessageContents", "InvalidMessageContents", 400)
            }
            Self::BatchRequestTooLong { .. } => {
                ("com.amazonaws.sqs#BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", 400)
            }
            Self::TooManyEntriesInBatchRequest(_) => (
                "com.amazonaws.sqs#TooManyEntriesInBatchRequest",
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
                400,
            ),
            Self::EmptyBatchRequest => {
                ("com.amazonaws.sqs#EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", 400)
            }
            Self::BatchEntryIdsNotDistinct(_) => (
                "com.amazonaws.sqs#BatchEntryIdsNotDistinct",
                "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
                400,
            ),
            Self::InvalidBatchEntryId => {
                ("com.amazonaws.sqs#InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId", 400)
            }
            Self::InvalidAttributeName(_) => {
                ("com.amazonaws.sqs#InvalidAttributeName", "InvalidAttributeName", 400)
            }
            Self::InvalidAttributeValue(_) => {
                ("com.amazonaws.sqs#InvalidAttributeValue", "InvalidAttributeValue", 400)
            }
            Self::OverLimit => ("com.amazonaws.sqs#OverLimit", "OverLimit", 403),
            Self::ResourceNotFound(_) => {
                ("com.amazonaws.sqs#ResourceNotFoundException", "ResourceNotFoundException", 404)
            }
            Self::UnsupportedOperation(_) => {
                ("com.amazonaws.sqs#UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", 400)
            }
            Self::MissingParameter(_) => {
                ("com.amazon.coral.service#MissingRequiredParameterException", "MissingParameter", 400)
            }
            Self::InvalidParameterValue(_) => {
                ("com.amazon.coral.service#InvalidParameterValueException", "InvalidParameterValue", 400)
            }
            Self::UnknownOperation(_) => {
                ("com.amazon.coral.service#UnknownOperationException", "InvalidAction", 400)
            }
            Self::Serialization(_) => {
                ("com.amazon.coral.service#SerializationException", "MalformedInput", 400)
            }
            Self::RequestThrottled => ("com.amazonaws.sqs#RequestThrottled", "RequestThrottled", 403),
            Self::ServiceUnavailable => {
                ("com.amazon.coral.service#ServiceUnavailableException", "ServiceUnavailable", 503)
            }
            Self::InternalError => ("com.amazon.coral.service#InternalFailure", "InternalFailure", 500),
        }
    }
}

/// Result of an operation on the queues.
pub type Result<T, E = SqsError> = std::result::Result<T, E>;
