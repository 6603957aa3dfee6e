//! Runs.
//!
//! | module | content |
//! |---|---|
//! | [`run`] | one run, from its seed to the violations at the end |
//! | [`many`] | many runs |
//! | [`report`] | results of runs |
//! | [`command`] | the command line: runs, violations and summary |

pub mod command;
pub mod many;
pub mod report;
pub mod run;
