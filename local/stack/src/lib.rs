//! The whole pipeline on one machine: the three functions as the real processes that they are on Lambda,
//! and a stand-in for each service around them. A library; `local` is its command line.
//!
//! | module | what it does |
//! |---|---|
//! | [`options`] | what to start, and where |
//! | [`compile`] | builds the function binaries |
//! | [`services`] | queue, database and Graph API, and the environment that leads the functions to them |
//! | [`queues`] | the queues, here or at another endpoint |
//! | [`supabase`] | the database and its API, here or somebody else's project |
//! | [`stack`] | services, functions, gateway and event source mapping, started and stopped together |
//! | [`journal`] | what the functions logged, and waiting for it |
//! | [`play`] | posts one payload and finds out what became of it |
//! | [`story`] | what the functions' log says of a payload's updates |
//! | [`payloads`] | finds payloads in files |
//! | [`renewal`] | gives their messages ids that the queue has not seen |
//!
//! The parts themselves are crates of their own: `local-sqs`, `local-lambda`, `local-supabase`,
//! `local-graph` and `local-process`. Each can be replaced by the real service.

pub mod compile;
mod endpoint;
pub mod journal;
pub mod options;
pub mod payloads;
pub mod play;
pub mod queues;
pub mod renewal;
pub mod services;
pub mod stack;
pub mod story;
pub mod supabase;

pub use options::Options;
pub use stack::Stack;
