//! The tests of the Lambda service with real processes, in one program.

mod event_source;
mod function;
mod gateway;
mod support;
