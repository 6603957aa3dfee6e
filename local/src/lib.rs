//! The whole pipeline on one machine: the three functions as the real processes that they are on Lambda,
//! and a stand-in for each service around them.
//!
//! | module | what it does |
//! |---|---|
//! | [`compile`] | builds the function binaries |
//! | [`services`] | queue, database and Graph API, and the environment that leads the functions to them |
//! | [`queues`] | the queues, here or at another endpoint |
//! | [`supabase`] | the database and its API, here or somebody else's project |
//! | [`stack`] | services, functions, gateway and event source mapping, started and stopped together |
//! | [`journal`] | what the functions logged, and waiting for it |
//! | [`play`] | posts one payload and finds out what became of it |
//! | [`story`] | what the functions' log says of a payload's updates |
//! | [`dead_letters`] | what could not be delivered: why, and sending it again |
//! | [`doctor`] | checks a deployed stack and what it stands on, and says what is wrong |
//! | [`demo`] | plays one sample and checks every step |
//! | [`replay`] | plays files of payloads |
//! | [`bench`] | the functions' processes beside a floor: time, memory, size, and what they are to be |
//! | [`page`] | the page that plays WhatsApp, on the gateway's address |
//! | [`load`] | many messages: time, what was lost, what came twice, memory |
//! | [`memory`] | how much memory the processes hold |
//! | [`payloads`] | finds payloads in files |
//! | [`renewal`] | gives their messages ids that the queue has not seen |
//! | [`up`] | stays up for a person to try |
//! | [`show`] | how results read on a terminal |
//!
//! The parts themselves are crates of their own: `local-sqs`, `local-lambda`, `local-supabase`,
//! `local-graph` and `local-process`. Each can be replaced by the real service.

pub mod bench;
pub mod cli;
pub mod compile;
pub mod dead_letters;
pub mod demo;
pub mod doctor;
pub mod journal;
pub mod load;
pub mod memory;
pub mod page;
pub mod payloads;
pub mod play;
pub mod queues;
pub mod renewal;
pub mod replay;
pub mod services;
pub mod show;
pub mod stack;
pub mod story;
pub mod supabase;
pub mod up;
