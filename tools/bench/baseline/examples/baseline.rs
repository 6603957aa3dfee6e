//! A function that returns a constant: the minimum cost of a Rust function on Lambda.
//!
//! `cargo run -p bench` compares the other functions with it.

use std::convert::Infallible;

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // The event is not parsed: parsing is part of the functions' own cost.
    lambda_runtime::run(service_fn(async |_: LambdaEvent<Box<RawValue>>| Ok::<_, Infallible>("ok"))).await
}
