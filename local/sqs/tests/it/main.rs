//! The integration tests of the queues, in one binary.

mod behaviours;
mod outside;
mod server;
mod state_machine;
mod support;
