//! The tests of `messages` from outside, in one program.

mod openapi;
mod requests;
