//! The runtime of a function on AWS Lambda.
//!
//! | module | used by | purpose |
//! |---|---|---|
//! | [`api`] | `webhook`, `messages` | runs a function behind API Gateway's HTTP API |
//! | [`counter`] | all | names and meanings of all counters |
//! | [`deadline`] | all | the deadline of an invocation |
//! | [`env`] | all | settings from environment variables |
//! | [`logging`] | all | JSON logs, with masked phone numbers and shortened message ids |
//! | [`metrics`] | all | counters and durations for CloudWatch |
//! | [`names`] | all | enums with a name in logs; kinds of update |
//! | [`secrets`] | `webhook`, `reply` | secrets, and values that are rebuilt when they rotate |
//! | [`trace`] | all | the X-Ray trace of the current work |

#[cfg(feature = "api")]
pub mod api;
pub mod counter;
pub mod deadline;
pub mod env;
pub mod logging;
pub mod metrics;
pub mod names;
#[cfg(feature = "aws")]
pub mod secrets;
pub mod trace;
