//! What the tests of several crates and the simulation need. Nothing else depends on it.

pub mod corpus;
pub mod event;
pub mod logs;
pub mod stale;
