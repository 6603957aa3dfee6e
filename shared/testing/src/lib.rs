//! What the tests of several crates need. Only they depend on it.

pub mod logs;
pub mod stale;
