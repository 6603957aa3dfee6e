//! AWS Lambda on one machine: function binaries run as real processes that use the Lambda runtime protocol,
//! behind emulators of the services that invoke them on AWS.
//!
//! * [`Function`]: a pool of processes of one binary, with cold starts, deadlines and timeouts; crashed
//!   processes are replaced.
//! * [`Gateway`]: API Gateway's HTTP API in front of functions (payload format 2.0).
//! * [`EventSourceMapping`]: polls an SQS queue and invokes a function with batches.
//!
//! Memory limits, throttling (a call waits for an idle instance instead), response streaming, extensions and
//! asynchronous retries are not emulated.

mod config;
mod error;
mod event_source;
mod function;
mod gateway;
mod instance;
mod logs;
mod pool;
mod runtime_api;
mod server;

pub use axum::body::Bytes;
pub use config::FunctionConfig;
pub use error::{InvokeError, StartError};
pub use event_source::{Counters, EventSourceConfig, EventSourceMapping};
pub use function::Function;
pub use gateway::{Cors, Gateway};
pub use logs::{LogLine, LogSink, Logs, Stream};
pub use server::HttpServer;
