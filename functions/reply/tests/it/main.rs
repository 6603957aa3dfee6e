//! Integration tests of `reply`, in one binary.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod business;
mod chat;
mod corpus;
mod graph;
mod invariants;
mod kinds;
mod linking;
mod llm;
mod llm_pipeline;
mod logs;
mod messages;
mod outcomes;
mod people;
mod sending;
mod sqs;
mod support;
mod template;
mod turns;
mod updates;
