//! Integration tests of `shared`, over real sockets and in processes of their own, in one binary.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod counters;
mod http;
mod panic;
mod secrets;
mod supabase;
