//! The tests of the Graph API over real HTTP, in one program.

mod common;
mod faults;
mod follow;
mod number;
mod send;
