//! The command line of the pipeline on one machine: starts it, sends messages, measures it. The pipeline itself is in
//! [`local_stack`].
//!
//! | module | contents |
//! |---|---|
//! | [`cli`] | the command line |
//! | [`up`] | runs everything until a signal, with the page of `local-page` |
//! | [`demo`] | sends one sample and checks every step |
//! | [`link_demo`] | links a number and checks every step |
//! | [`histories`] | the history of both users |
//! | [`replay`] | sends files of payloads |
//! | [`load`] | many messages: time, lost messages, duplicates, memory |
//! | [`memory`] | memory and CPU time of the processes |
//! | [`show`] | output for a terminal |

pub mod cli;
pub mod demo;
pub mod histories;
pub mod link_demo;
pub mod load;
pub mod memory;
pub mod replay;
pub mod show;
pub mod up;
