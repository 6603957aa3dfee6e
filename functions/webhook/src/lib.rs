//! `webhook`: takes what Meta posts and puts it on the inbound queue.
//!
//! It verifies, splits and queues, and does nothing else, because Meta wants its answer within a
//! fraction of a second and sends everything again when it does not get 200.
//!
//! | module | what it does |
//! |---|---|
//! | [`handler`] | which request gets which answer |
//! | [`handshake`] | `GET /webhook`: proves to Meta that the address is ours |
//! | [`signature`] | `POST /webhook`: proves to us that Meta sent it |
//! | [`readable`] | reads a body's bytes as JSON, as far as they are |
//! | [`payload`] | finds every update in a request's body |
//! | [`entry`] | turns an update into a queue entry: body, group, deduplication id |
//! | [`cut`] | makes an update fit that is too large for the queue |
//! | [`batches`] | packs entries into calls, without changing the order of anybody's messages |
//! | [`queue`] | the queue: a trait, and SQS |
//! | [`settings`] | environment variables |

pub mod batches;
pub mod cut;
pub mod entry;
pub mod handler;
pub mod handshake;
pub mod payload;
pub mod queue;
pub mod readable;
pub mod settings;
pub mod signature;

pub use handler::Webhook;
