//! The integration tests of the Lambda emulator with real processes, in one binary.

mod event_source;
mod function;
mod gateway;
mod support;
