//! The integration tests of the queues, in one binary.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod behaviours;
mod outside;
mod server;
mod state_machine;
mod support;
