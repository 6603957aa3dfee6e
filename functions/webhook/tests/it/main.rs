//! Integration tests of `webhook`, in one binary.

mod bounds;
mod corpus;
mod invariants;
mod openapi;
mod payloads;
mod readable;
mod requests;
mod sqs;
