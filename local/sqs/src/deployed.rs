//! The queues as `template.yaml` makes them: their names here, and the receives that lead to a dead letter.

/// What webhook sends to and reply receives from.
pub const INBOUND: &str = "inbound.fifo";
/// Where messages go that were received too often.
pub const INBOUND_DEAD_LETTERS: &str = "inbound-dead-letters.fifo";
/// Where reply puts rows that could not be written yet, and receives them from.
pub const RECORDS: &str = "records";
/// Where rows go that could not be written for a day.
pub const RECORD_DEAD_LETTERS: &str = "records-dead-letters";

/// Receives before SQS makes a dead letter of a message by itself.
pub const MAX_INBOUND_RECEIVES: u32 = 75;
/// Receives before SQS makes a dead letter of rows by itself.
pub const MAX_RECORD_RECEIVES: u32 = 120;
