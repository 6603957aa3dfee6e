//! reqwest 0.13 under the version that `postgrest` 1.6 asks for.
//!
//! The released `postgrest` is built on reqwest 0.11, with hyper 0.14 and rustls 0.21: a second HTTP and TLS stack, in
//! the binary and in every cold start, though nothing is ever sent with it. What `postgrest` uses of reqwest is the same
//! in 0.13, so `[patch.crates-io]` in the workspace's `Cargo.toml` puts this crate in its place, and its builders make
//! requests for our own client. When a `postgrest` on a current reqwest is released, this crate goes.

pub use reqwest_0_13::*;
