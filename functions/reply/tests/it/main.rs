//! The tests of `reply` from outside, in one program.

mod business;
mod corpus;
mod graph;
mod invariants;
mod kinds;
mod logs;
mod messages;
mod people;
mod sending;
mod sqs;
mod support;
mod updates;
