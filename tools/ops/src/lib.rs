//! Operates a deployed stack, or the `local` that is running, which both look alike from outside.
//!
//! | module | what it does |
//! |---|---|
//! | [`doctor`] | checks the stack and what it stands on, and says what is wrong |
//! | [`dead_letters`] | what could not be delivered: why, and sending it again |
//! | [`env_file`] | the variables that a file holds |

pub mod dead_letters;
pub mod doctor;
pub mod env_file;
