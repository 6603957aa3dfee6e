//! The tests of `reply` from outside, in one program.

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
