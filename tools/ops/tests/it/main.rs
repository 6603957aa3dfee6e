//! The tests of the commands, on real stacks and queues, in one program.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod dead_letters;
mod doctor;
mod running;
