//! The tests of the queues, in one program.

mod behaviours;
mod outside;
mod server;
mod state_machine;
mod support;
