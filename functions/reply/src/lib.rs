//! `reply`: answers the messages on the inbound queue and writes both sides to the history.
//!
//! | module | what it does |
//! |---|---|
//! | [`batch`] | an SQS batch: each sender in order, senders in parallel, failures returned |
//! | [`handler`] | one message: who wrote it, what to answer, send, record |
//! | [`incoming`] | a message as Meta sent it becomes one with types |
//! | [`responder`] | what to answer; **the place for an LLM** |
//! | [`graph`] | sending through Meta's Graph API |
//! | [`users`] | whose WhatsApp number it is |
//! | [`history`] | the two rows of a message and its answer |
//! | [`settings`] | environment variables |

pub mod batch;
pub mod graph;
pub mod handler;
pub mod history;
pub mod incoming;
pub mod responder;
pub mod settings;
pub mod users;

pub use handler::Reply;
