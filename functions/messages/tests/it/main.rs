//! Integration tests of `messages`, in one binary.

mod openapi;
mod requests;
