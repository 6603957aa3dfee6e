//! The tests of the whole pipeline and of the commands, in one program.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod commands;
mod events;
mod failures;
mod guarantees;
mod history;
mod linking;
mod llm;
mod loops;
mod observability;
mod one_answer;
mod page;
mod pipeline;
mod samples;
mod supabase_url;
mod updates;
