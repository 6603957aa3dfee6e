//! What at least two of the functions need.
//!
//! | module | used by | what it is |
//! |---|---|---|
//! | [`api`] | `webhook`, `messages` | what runs a function behind API Gateway |
//! | [`env`] | all | settings from environment variables |
//! | [`deadline`] | all | how long an invocation may still take |
//! | [`logging`] | all | JSON logs, and how a phone number may appear in them |
//! | [`metrics`] | all | counts and times, for CloudWatch |
//! | [`trace`] | all | which X-Ray trace the work belongs to |
//! | [`counter`] | all | the names and meanings of all counters |
//! | [`names`] | all | enums with a name in logs; kinds of update |
//! | [`envelope`] | `webhook`, `reply` | what travels on the queues |
//! | [`lenient`] | `webhook`, `reply` | reading what Meta sent without refusing it |
//! | [`sender`] | `webhook`, `reply` | who writes: a phone number, a user id, or both |
//! | [`phone`] | `webhook`, `reply` | phone numbers, and those that have two spellings |
//! | [`identity`] | `webhook`, `reply` | a person's new number or user id |
//! | [`people`] | `webhook`, `reply` | whom a message is from, and which contact is theirs |
//! | [`wamid`] | `webhook`, `reply` | Meta's id of a message, and the key of one without |
//! | [`message`] | `reply`, `messages` | rows of the table `messages` |
//! | [`aws`] | `webhook`, `reply` | clients of SQS and Secrets Manager |
//! | [`secrets`] | `webhook`, `reply` | secrets, and what is built with them |
//! | [`http`] | all | the one HTTP client |
//! | [`text`] | `webhook`, `reply` | cutting text between visible characters |
//! | [`supabase`] | `reply`, `messages` | Supabase's REST API and its keys |

#[cfg(feature = "api")]
pub mod api;
#[cfg(feature = "aws")]
pub mod aws;
pub mod counter;
pub mod deadline;
pub mod env;
pub mod envelope;
pub mod http;
pub mod identity;
pub mod lenient;
pub mod logging;
pub mod message;
pub mod metrics;
pub mod names;
pub mod people;
pub mod phone;
#[cfg(feature = "aws")]
pub mod secrets;
pub mod sender;
#[cfg(feature = "supabase")]
pub mod supabase;
pub mod text;
pub mod trace;
pub mod wamid;

#[cfg(test)]
mod tests;
