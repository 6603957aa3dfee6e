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
//! [`Broker`] and [`Queue`] are a state machine: no clock, no I/O, no randomness. Every operation is told
//! the time, and [`Broker::next_event`] says when something will happen by itself, so that they can be
//! driven on virtual time. [`SqsServer`] puts them behind the AWS JSON 1.0 protocol, which the AWS SDKs
//! speak. The cost of sending and receiving grows with the logarithm of the backlog.
//!
//! # What is there
//! - All actions on queues, messages, batches, tags and message move tasks, with their limits and errors.
//! - Standard queues: visibility timeout, delays, long polling, retention, dead letters.
//! - FIFO queues: order and lock of message groups, deduplication for 5 minutes by id or content, within
//!   the queue or the group; FIFO dead-letter queues.
//! - [`SqsServer::view`] shows messages without receiving them, [`SqsServer::fail_next`] makes calls fail,
//!   [`Broker::skip_waits`] ends waits.
//!
//! # What differs from SQS
//! - Nothing is kept when the server stops, and credentials and signatures are not checked.
//! - A standard queue gives messages in order and never twice; SQS promises neither.
//! - Counts are exact, changes of attributes hold at once, and the name of a deleted queue is free at once.
//! - `FifoThroughputLimit` is kept and has no effect: there is no throughput limit.
//! - `ReceiveRequestAttemptId` is accepted and has no effect.
//! - `Policy`, `KmsMasterKeyId`, `KmsDataKeyReusePeriodSeconds` and `SqsManagedSseEnabled` are kept and have
//!   no effect; `AddPermission` and `RemovePermission` are unknown.
//! - A FIFO queue looks for messages in the whole backlog, SQS in its first 120 000 messages only.
//! - A move task without a rate is done at once. One that finds only messages in flight is completed.
//! - Region and account are always `us-east-1` and `000000000000`; only the name in a queue URL counts.
//! - The older query protocol (XML) is not spoken.

pub mod deployed;

mod attributes;
mod broker;
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
