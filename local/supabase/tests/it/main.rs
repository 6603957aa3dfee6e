//! The integration tests of the API and the migrations on a real PostgreSQL, in one binary.

mod adoption;
mod api;
mod checks;
mod common;
mod edits;
mod identity;
mod migrations;
mod older_columns;
mod outage;
mod retention;
mod statuses;
mod type_changes;
mod user_ids;
