//! Test helpers shared by several crates and the simulation. Test code only.

pub mod corpus;
pub mod event;
pub mod logs;
pub mod stale;
