//! Integration tests of `messages`, in one binary.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod openapi;
mod requests;
