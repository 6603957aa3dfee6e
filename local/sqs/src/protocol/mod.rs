//! AWS JSON 1.0: one POST per action, named in the header `X-Amz-Target`; requests and responses are the
//! structures of the SQS API reference.

mod attributes;
mod batch;
mod moves;
mod queues;
mod receipts;
mod receive;
mod send;
mod tags;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, StrDeserializer};

use crate::broker::Broker;
use crate::error::{Result, SqsError};
use crate::time::Timestamp;
pub(crate) use batch::Refuse;
pub(crate) use receive::ReceiveRequest;

/// Actions of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[allow(missing_docs)]
pub enum Action {
    CancelMessageMoveTask,
    ChangeMessageVisibility,
    ChangeMessageVisibilityBatch,
    CreateQueue,
    DeleteMessage,
    DeleteMessageBatch,
    DeleteQueue,
    GetQueueAttributes,
    GetQueueUrl,
    ListDeadLetterSourceQueues,
    ListMessageMoveTasks,
    ListQueueTags,
    ListQueues,
    PurgeQueue,
    ReceiveMessage,
    SendMessage,
    SendMessageBatch,
    SetQueueAttributes,
    StartMessageMoveTask,
    TagQueue,
    UntagQueue,
}

impl Action {
    /// From `AmazonSQS.SendMessage`.
    pub(crate) fn from_target(target: &str) -> Result<Self> {
        let name = target.strip_prefix("AmazonSQS.").unwrap_or(target);
        Self::deserialize(StrDeserializer::<ValueError>::new(name))
            .map_err(|_| SqsError::UnknownOperation(name.to_owned()))
    }
}

/// Environment of an action.
pub(crate) struct Context<'a> {
    pub(crate) broker: &'a mut Broker,
    pub(crate) now: Timestamp,
    /// Prefix of the queue URLs in responses.
    pub(crate) endpoint: &'a str,
    /// Fault injection: the entries of a batch to fail.
    pub(crate) refuse: Refuse<'a>,
}

impl Context<'_> {
    fn queue_url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.endpoint, crate::broker::ACCOUNT)
    }

    /// The name of the queue at `url`, after a check that the queue exists.
    fn queue_at(&self, url: Option<&String>) -> Result<String> {
        let name = queue_name(url)?;
        self.broker.queue(name).map(|_| name.to_owned())
    }
}

/// Performs every action except `ReceiveMessage`, which may have to wait.
pub(crate) fn perform(context: &mut Context<'_>, action: Action, body: &[u8]) -> Result<Vec<u8>> {
    match action {
        Action::CreateQueue => answer(queues::create(context, parse(body)?)),
        Action::DeleteQueue => empty(queues::delete(context, &parse(body)?)),
        Action::GetQueueUrl => answer(queues::url(context, parse(body)?)),
        Action::ListQueues => answer(queues::list(context, &parse(body)?)),
        Action::PurgeQueue => empty(queues::purge(context, &parse(body)?)),
        Action::ListDeadLetterSourceQueues => answer(queues::dead_letter_sources(context, &parse(body)?)),
        Action::GetQueueAttributes => answer(attributes::get(context, &parse(body)?)),
        Action::SetQueueAttributes => empty(attributes::set(context, parse(body)?)),
        Action::SendMessage => answer(send::one(context, parse(body)?)),
        Action::SendMessageBatch => answer(send::batch(context, parse(body)?)),
        Action::DeleteMessage => empty(receipts::delete(context, parse(body)?)),
        Action::DeleteMessageBatch => answer(receipts::delete_batch(context, parse(body)?)),
        Action::ChangeMessageVisibility => empty(receipts::change(context, parse(body)?)),
        Action::ChangeMessageVisibilityBatch => answer(receipts::change_batch(context, parse(body)?)),
        Action::StartMessageMoveTask => answer(moves::start(context, parse(body)?)),
        Action::ListMessageMoveTasks => answer(moves::list(context, parse(body)?)),
        Action::CancelMessageMoveTask => answer(moves::cancel(context, parse(body)?)),
        Action::TagQueue => empty(tags::add(context, parse(body)?)),
        Action::UntagQueue => empty(tags::remove(context, parse(body)?)),
        Action::ListQueueTags => answer(tags::list(context, &parse(body)?)),
        Action::ReceiveMessage => {
            Err(SqsError::UnsupportedOperation("ReceiveMessage is handled by the server".to_owned()))
        }
    }
}

/// A request with the queue as its only parameter.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueRequest {
    queue_url: Option<String>,
}

/// The name at the end of a queue URL. Scheme, host and account are ignored: the same queue may be reached
/// through several addresses.
fn queue_name(url: Option<&String>) -> Result<&str> {
    let url = required(url, "QueueUrl")?;
    Ok(url.trim_end_matches('/').rsplit('/').next().unwrap_or(url))
}

fn required<T>(value: Option<T>, parameter: &'static str) -> Result<T> {
    value.ok_or(SqsError::MissingParameter(parameter))
}

pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let body = if body.is_empty() { b"{}" } else { body };
    // The error message may quote the request; the position is sufficient.
    serde_json::from_slice(body).map_err(|error| {
        SqsError::Serialization(format!("{:?} error at column {}", error.classify(), error.column()))
    })
}

pub(crate) fn answer<T: Serialize>(result: Result<T>) -> Result<Vec<u8>> {
    serde_json::to_vec(&result?).map_err(|_| SqsError::InternalError)
}

fn empty(result: Result<()>) -> Result<Vec<u8>> {
    result.map(|()| b"{}".to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn action_is_the_last_part_of_the_target() {
        assert_eq!(Action::from_target("AmazonSQS.SendMessage"), Ok(Action::SendMessage));
        assert_eq!(
            Action::from_target("AmazonSQS.Nonsense"),
            Err(SqsError::UnknownOperation("Nonsense".to_owned()))
        );
    }

    #[test]
    fn queue_is_identified_by_the_last_part_of_its_url() {
        for url in ["http://127.0.0.1:1/000000000000/q.fifo", "https://sqs.eu-west-1.amazonaws.com/1/q.fifo/"]
        {
            assert_eq!(queue_name(Some(&url.to_owned())), Ok("q.fifo"));
        }
        assert_eq!(queue_name(None), Err(SqsError::MissingParameter("QueueUrl")));
    }

    #[test]
    fn error_about_a_malformed_request_does_not_quote_it() {
        let error =
            parse::<QueueRequest>(br#"{"QueueUrl": ["secret"]}"#).err().map(|error| error.to_string());
        assert!(error.is_some_and(|text| !text.contains("secret")));
    }
}
