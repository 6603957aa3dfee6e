//! reqwest 0.13 under the version number that `postgrest` 1.6 requires.
//!
//! The released `postgrest` is built on reqwest 0.11, with hyper 0.14 and rustls 0.21: a second HTTP and TLS stack, in
//! the binary and in every cold start, although no request is sent with it. The part of reqwest's API that `postgrest`
//! uses is the same in 0.13. `[patch.crates-io]` in the workspace's `Cargo.toml` therefore replaces reqwest 0.11 by
//! this crate, and the builders of `postgrest` make requests for the workspace's own client. This crate can be removed
//! when a `postgrest` on a current reqwest is released.

pub use reqwest_0_13::*;
