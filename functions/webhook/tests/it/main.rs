//! The tests of `webhook` from outside, in one program.

mod bounds;
mod corpus;
mod invariants;
mod openapi;
mod payloads;
mod readable;
mod requests;
mod sqs;
