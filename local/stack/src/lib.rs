//! The whole pipeline on one machine: the three functions as processes of their own, as on Lambda, with an emulator
//! or a fake of each service around them. A library; `local` is its command line.
//!
//! | module | contents |
//! |---|---|
//! | [`options`] | the services to start, and their addresses |
//! | [`compile`] | builds the function binaries |
//! | [`responder`] | the responder of `reply` |
//! | [`services`] | queue, database, Graph API and model, and the functions' environment with their addresses |
//! | [`queues`] | the queues, of the emulator or of another endpoint |
//! | [`supabase`] | the database and its API, of the emulator or of an external project |
//! | [`stack`] | services, functions, gateway and event source mapping, started and stopped together |
//! | [`logs`] | the functions' logs, and waiting for lines in them |
//! | [`compose`] | payloads of people who write |
//! | [`play`] | posts one payload and determines its outcome |
//! | [`outcomes`] | the outcomes of a payload's updates, from the functions' logs |
//! | [`payloads`] | finds payloads in files |
//! | [`fresh_ids`] | gives their messages ids that are new to the queue |
//! | [`links`] | creates and deletes the links of users, as their apps do |
//!
//! The emulators and the fake are separate crates: `local-sqs`, `local-lambda`, `local-supabase`,
//! `local-graph`, `local-model` and `local-process`. Each can be replaced by the real service.

pub mod compile;
pub mod compose;
mod endpoint;
pub mod fresh_ids;
pub mod links;
pub mod logs;
pub mod options;
pub mod outcomes;
pub mod payloads;
pub mod play;
pub mod queues;
pub mod responder;
pub mod services;
pub mod stack;
pub mod supabase;

pub use options::Options;
pub use stack::Stack;
