//! The integration tests of the Graph API fake over real HTTP, in one binary.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod buttons;
mod common;
mod faults;
mod number;
mod send;
mod subscribe;
