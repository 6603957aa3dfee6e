//! The pipeline on one machine, as a command: starts it, plays messages, measures it. Everything that runs is
//! [`local_stack`]'s.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`up`] | stays up for a person to try, with the page of `local-page` |
//! | [`demo`] | plays one sample and checks every step |
//! | [`replay`] | plays files of payloads |
//! | [`load`] | many messages: time, what was lost, what came twice, memory |
//! | [`memory`] | how much memory the processes hold |
//! | [`show`] | how results read on a terminal |

pub mod cli;
pub mod demo;
pub mod load;
pub mod memory;
pub mod replay;
pub mod show;
pub mod up;
