//! Operates a deployed stack, or the running `local`, which has the same interfaces.
//!
//! | module | contents |
//! |---|---|
//! | [`doctor`] | checks the stack and the services it uses, and reports errors |
//! | [`dead_letters`] | dead letters: their causes, and redriving them |
//! | [`env_file`] | the variables of a file |

pub mod dead_letters;
pub mod doctor;
pub mod env_file;
