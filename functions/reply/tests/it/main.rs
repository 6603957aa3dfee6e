//! Integration tests of `reply`, in one binary.

mod business;
mod corpus;
mod graph;
mod invariants;
mod kinds;
mod logs;
mod messages;
mod outcomes;
mod people;
mod sending;
mod sqs;
mod support;
mod template;
mod updates;
