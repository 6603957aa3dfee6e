//! A function that answers a constant: the least that a Rust function costs on Lambda.
//!
//! `cargo run -p local -- bench` measures the others against it.

use std::convert::Infallible;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // The event is not parsed: that is what the functions do with theirs.
    lambda_runtime::run(service_fn(async |_: LambdaEvent<Box<RawValue>>| Ok::<_, Infallible>("ok"))).await
}
