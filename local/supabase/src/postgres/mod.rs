//! The real PostgreSQL: a configured server, an installed one, or a downloaded one.

mod cluster;
mod database;
mod embedded;
mod find;

pub use database::Database;
pub(crate) use database::{Prepared, Source};
