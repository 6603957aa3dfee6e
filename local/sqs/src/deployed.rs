//! Names and receive limits of the queues in `template.yaml`.

/// The queue from webhook to reply.
pub const INBOUND: &str = "inbound.fifo";
/// Dead-letter queue of [`INBOUND`].
pub const INBOUND_DEAD_LETTERS: &str = "inbound-dead-letters.fifo";
/// The queue of rows that reply could not write yet; reply sends to it and receives from it.
pub const RECORDS: &str = "records";
/// Dead-letter queue of [`RECORDS`]: rows that could not be written for a day.
pub const RECORD_DEAD_LETTERS: &str = "records-dead-letters";

/// `maxReceiveCount` of [`INBOUND`].
pub const MAX_INBOUND_RECEIVES: u32 = 85;
/// `maxReceiveCount` of [`RECORDS`].
pub const MAX_RECORD_RECEIVES: u32 = 120;
