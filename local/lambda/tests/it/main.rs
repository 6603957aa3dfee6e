//! The integration tests of the Lambda emulator with real processes, in one binary.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod event_source;
mod function;
mod gateway;
mod support;
