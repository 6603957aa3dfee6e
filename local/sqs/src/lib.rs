//! An SQS-compatible queue for one machine: real FIFO, visibility and dead letters, no network, no AWS.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! let server = local_sqs::SqsServer::start(0).await?;
//! // AWS_ENDPOINT_URL_SQS = server.endpoint_url(); region us-east-1; any credentials.
//! println!("{}", server.queue_url("inbound.fifo"));
//! server.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Shape
//! [`Broker`] and [`Queue`] are a state machine: no clock, no I/O, no randomness. Every operation takes the
//! current time, and [`Broker::next_event`] returns the time of the next timer, which allows tests on virtual
//! time. [`SqsServer`] serves the state machine over the AWS JSON 1.0 protocol, which the AWS SDKs use. The
//! cost of sending and receiving grows with the logarithm of the backlog.
//!
//! # Features
//! - All actions on queues, messages, batches, tags and message move tasks, with their limits and errors.
//! - Standard queues: visibility timeout, delays, long polling, retention, dead letters.
//! - FIFO queues: ordering and locking of message groups, deduplication for 5 minutes by id or content,
//!   scoped to the queue or the group; FIFO dead-letter queues.
//! - [`SqsServer::view`] shows messages without receiving them, [`SqsServer::fail_next`] injects faults,
//!   [`Broker::skip_waits`] skips visibility timeouts.
//!
//! # Differences from SQS
//! - Nothing is persisted, and credentials and signatures are not checked.
//! - A standard queue delivers messages in order and exactly once per visibility timeout; SQS guarantees
//!   neither.
//! - Counts are exact, attribute changes apply at once, and the name of a deleted queue is available at once.
//! - `FifoThroughputLimit` is stored and has no effect: there is no throughput limit.
//! - `ReceiveRequestAttemptId` is accepted and has no effect.
//! - `Policy`, `KmsMasterKeyId`, `KmsDataKeyReusePeriodSeconds` and `SqsManagedSseEnabled` are stored and
//!   have no effect; `AddPermission` and `RemovePermission` are not supported.
//! - A FIFO queue searches the whole backlog for messages, SQS only its first 120 000 messages.
//! - A move task without a rate completes at once, also if the only messages left are in flight.
//! - Region and account are always `us-east-1` and `000000000000`; only the name in a queue URL counts.
//! - The older query protocol (XML) is not supported.

pub mod deployed;

mod attributes;
mod broker;
mod characters;
mod deduplication;
mod error;
mod faults;
mod fifo;
mod ids;
mod inspect;
mod message;
mod message_attributes;
mod moves;
mod order;
mod protocol;
mod queue;
mod receipt;
mod receiving;
mod redrive;
mod redriving;
mod sending;
mod server;
mod skipping;
mod time;

pub use attributes::{AttributeMap, FifoAttributes, QueueAttributes};
pub use broker::{ACCOUNT, Broker, REGION, queue_arn};
pub use error::{Result, SqsError};
pub use faults::Fault;
pub use inspect::{MessageView, QueueView};
pub use message::{Body, MAXIMUM_MESSAGE_SIZE, NewMessage, Receive, Received, Sent, State};
pub use message_attributes::{AttributeContent, AttributeValue, MessageAttributes};
pub use moves::{MoveStatus, MoveTask};
pub use protocol::Action;
pub use queue::{Counts, Queue};
pub use redrive::RedrivePolicy;
pub use server::SqsServer;
pub use skipping::Skip;
pub use time::Timestamp;
