//! The actors of a run.
//!
//! | module | content |
//! |---|---|
//! | [`meta`] | payloads posted, retried, duplicated |
//! | [`payloads`] | JSON of the payloads |
//! | [`statuses`] | statuses of answers: drawing and posting |
//! | [`identities`] | changes of numbers and user ids: execution |
//! | [`linkers`] | people who link their numbers and user ids, with an app and a phone |
//! | [`loops`] | automatic correspondents, which respond to each answer |
//! | [`webhook`] | `webhook` on Lambda, and its queue |
//! | [`lambda`] | `reply` on Lambda: batches, deadlines |
//! | [`responders`] | what answers |
//! | [`llm`] | the language model, and the conversations that it is asked with |
//! | [`holds`] | deliveries that wait for further messages |
//! | [`bodies`] | the bodies of queue messages |
//! | [`crash`] | processes that crash |
//! | [`queues`] | the queues of the template, over `local-sqs`, and the calls of `reply` |
//! | [`graph`] | the Graph API and the phones behind it |
//! | [`database`] | Supabase |
//! | [`linking`] | its functions for linking |
//! | [`pages`] | its history behind row-level security |
//! | [`tables`] | its tables, and the effects of new rows |
//! | [`follow`] | links after changes of numbers and user ids, and after operators' edits |

pub mod bodies;
pub mod crash;
pub mod database;
pub mod follow;
pub mod graph;
pub mod holds;
pub mod identities;
pub mod lambda;
pub mod linkers;
pub mod linking;
pub mod llm;
pub mod loops;
pub mod meta;
pub mod pages;
pub mod payloads;
pub mod queues;
pub mod responders;
pub mod statuses;
pub mod tables;
pub mod webhook;
