//! `webhook`: receives Meta's webhook requests and puts their updates on the inbound queue.
//!
//! It only verifies, splits and queues, because Meta expects a response within a fraction of a second and sends the
//! whole request again when the response is not 200.
//!
//! | module | purpose |
//! |---|---|
//! | [`handler`] | routing of requests and the responses to them |
//! | [`handshake`] | `GET /webhook`: proves to Meta that the address belongs to this app |
//! | [`signature`] | `POST /webhook`: proves that the request is from Meta |
//! | [`readable`] | reads a body as JSON, as far as it is valid |
//! | [`payload`] | finds every update in a request's body |
//! | [`entry`] | converts an update to a queue entry: body, message group, deduplication id |
//! | [`truncate`] | truncates an update that is too large for the queue |
//! | [`batches`] | packs entries into calls and preserves the order of each sender's messages |
//! | [`queue`] | the queue: a trait, and SQS |
//! | [`settings`] | environment variables and secrets |

pub mod batches;
pub mod entry;
pub mod handler;
pub mod handshake;
pub mod payload;
pub mod queue;
pub mod readable;
pub mod settings;
pub mod signature;
pub mod truncate;

pub use handler::Webhook;
