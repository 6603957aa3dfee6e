//! Integration tests of `webhook`, in one binary.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod bounds;
mod corpus;
mod invariants;
mod openapi;
mod payloads;
mod readable;
mod requests;
mod sqs;
