//! The integration tests of the guardian with real processes, in one binary.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod guardian;
