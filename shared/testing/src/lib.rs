//! Test helpers shared by several crates and the simulation. Test code only.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

pub mod corpus;
pub mod event;
pub mod logs;
pub mod stale;
