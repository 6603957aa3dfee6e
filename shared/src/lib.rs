//! Code that at least two of the functions use.
//!
//! | module | used by | purpose |
//! |---|---|---|
//! | [`lambda`] | all | the runtime of a function: HTTP API, settings, secrets, logs, metrics, trace, deadline |
//! | [`aws`] | `webhook`, `reply` | clients of SQS and Secrets Manager |
//! | [`http`] | all | the HTTP client |
//! | [`meta`] | all | Meta's data: envelopes on the queues, lenient reading of JSON, message ids, senders |
//! | [`supabase`] | `reply`, `messages` | Supabase's REST API and its keys, and rows of the table `messages` |
//! | [`text`] | `webhook`, `reply` | truncation of text between visible characters |

#[cfg(feature = "aws")]
pub mod aws;
pub mod http;
pub mod lambda;
pub mod meta;
pub mod supabase;
pub mod text;

#[cfg(test)]
mod tests;
