//! `reply`: answers the messages on the inbound queue and writes both sides to the history.
//!
//! | module | what it does |
//! |---|---|
//! | [`batch`] | an SQS batch: each sender in order, senders in parallel, failures returned |
//! | [`delivery`] | a message as the queue delivers it |
//! | [`handler`] | a delivery of either queue: what becomes of it, and one line in the log |
//! | `answer` | a message: who wrote it, whether it was answered, what to answer, send, record |
//! | [`seen`] | marks it as read |
//! | `send` | an answer, in as many parts as it needs |
//! | `record` | rows: written now, or as a task when the database takes them again |
//! | [`failure`] | why a message goes back to its queue |
//! | [`retry`] | for how long |
//! | [`memory`] | what a process remembers from one invocation to the next |
//! | [`incoming`] | what Meta sent becomes something with types |
//! | [`responder`] | what to answer; **the place for an LLM** |
//! | [`split`] | texts longer than the Graph API takes |
//! | [`graph`] | sending through Meta's Graph API |
//! | [`database`] | what is asked of the database |
//! | [`users`] | whose WhatsApp number or user id it is |
//! | [`history`] | the two rows of a message and its answer |
//! | [`statuses`] | what became of sent messages |
//! | [`events`] | what is kept for a person to look at |
//! | [`queues`] | what is told to the queues |
//! | [`settings`] | environment variables |

mod answer;
pub mod batch;
pub mod database;
pub mod delivery;
pub mod events;
pub mod failure;
pub mod graph;
pub mod handler;
pub mod history;
pub mod incoming;
pub mod memory;
pub mod queues;
mod record;
pub mod responder;
pub mod retry;
pub mod seen;
mod send;
pub mod settings;
pub mod split;
pub mod statuses;
pub mod users;

pub use handler::Reply;
