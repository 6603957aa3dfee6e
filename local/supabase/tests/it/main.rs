//! The integration tests of the API and the migrations on a real PostgreSQL, in one binary.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a failed test panics")]

mod adoption;
mod api;
mod checks;
mod common;
mod edits;
mod identity;
mod linking;
mod llm;
mod migrations;
mod older_columns;
mod outage;
mod retention;
mod statuses;
mod stored_answers;
mod type_changes;
mod user_ids;
