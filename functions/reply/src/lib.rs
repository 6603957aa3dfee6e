//! `reply`: answers the messages on the inbound queue and writes both sides to the history.
//!
//! | module | what is in it |
//! |---|---|
//! | [`batch`] | an SQS batch: each sender in order, senders in parallel, failures returned |
//! | [`delivery`] | a message as the queue delivers it |
//! | `handler` | a delivery of either queue: what becomes of it, and one line in the log |
//! | **`answer`** | **the way of a message: who wrote it, whether it was answered, what to answer, send, record** |
//! | `lookup`, `send`, [`read_receipts`], `record`, `learn` | its steps, each over what it needs alone |
//! | `refusal` | whether an answer that was not sent is sent again |
//! | `task` | a record task: the rest of a long answer, rows |
//! | `updates` | messages of the business, statuses, events |
//! | `redelivery`, [`failure`], [`retry`] | what becomes of a delivery that failed, why, and after how long |
//! | [`outcome`] | what became of a delivery, for the log and the metrics |
//! | [`budget`] | how an invocation's time is shared out |
//! | `function`, [`settings`] | what the function talks to; environment variables |
//! | [`memory`] | what a process remembers from one invocation to the next |
//! | [`incoming`] | what Meta sent, parsed |
//! | [`responder`] | what to answer; **the place for an LLM** |
//! | [`graph`], [`split`] | sending through Meta's Graph API; texts longer than it takes |
//! | [`database`] | what is asked of the database: [`users`], [`history`], [`statuses`], [`events`] |
//! | [`queues`] | what is asked of the queues |

mod answer;
pub mod batch;
pub mod budget;
pub mod database;
pub mod delivery;
pub mod events;
pub mod failure;
mod function;
pub mod graph;
mod handler;
pub mod history;
pub mod incoming;
mod learn;
mod lookup;
pub mod memory;
pub mod outcome;
pub mod queues;
pub mod read_receipts;
mod record;
mod redelivery;
mod refusal;
pub mod responder;
pub mod retry;
mod send;
pub mod settings;
pub mod split;
pub mod statuses;
mod task;
mod updates;
pub mod users;

pub use function::{Clock, Reply};
