//! The integration tests of the model fake over real HTTP, in one binary.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod answers;
mod common;
mod faults;
mod requests;
