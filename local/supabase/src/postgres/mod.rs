//! PostgreSQL, real: the server that is named, the one installed here, or one that is fetched.

mod cluster;
mod database;
mod embedded;
mod find;

pub use database::Database;
pub(crate) use database::Source;
