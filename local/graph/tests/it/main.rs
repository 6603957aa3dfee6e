//! The integration tests of the Graph API emulator over real HTTP, in one binary.

mod common;
mod faults;
mod number;
mod send;
mod subscribe;
