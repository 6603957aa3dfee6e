//! `reply`: answers the messages on the inbound queue and writes both sides to the history.
//!
//! | module | content |
//! |---|---|
//! | [`batch`] | an SQS batch: each sender in order, senders in parallel, failures returned |
//! | [`delivery`] | a message as the queue delivers it |
//! | [`turns`] | the messages that are answered together, and the time for which they are held |
//! | `handler` | handling of a delivery or a turn, with one log line for the outcome of each message |
//! | **`answer`** | **the pipeline of a turn: lookup of its user, deduplication, reply, send, record** |
//! | `lookup`, `choose`, `send`, [`read_receipts`], `record`, `complete_link` | its steps, each with only the dependencies it uses |
//! | `linking`, [`code`], `notice` | linking by the holder of a number; texts outside a conversation |
//! | `refusal` | the decision to retry a reply that was not sent |
//! | `task` | a record task: the rest of a long reply, rows |
//! | `updates` | messages of the business, statuses, events |
//! | `redelivery`, [`failure`], [`retry`] | a delivery that failed: its destination, the cause, the backoff |
//! | [`outcome`] | the outcome of a delivery, for the logs and the metrics |
//! | [`budget`] | the division of an invocation's time |
//! | `function`, [`settings`] | dependencies of the function; environment variables |
//! | [`memory`] | state that a process keeps between invocations |
//! | [`incoming`] | Meta's updates, parsed |
//! | [`responder`] | the choice of a reply; **the place for a program of your own** |
//! | [`responders`] | the responder that a setting names |
//! | [`llm`], [`details`] | replies of a language model; how they came about |
//! | [`graph`], [`split`] | sending through Meta's Graph API; splitting of texts that exceed its limit |
//! | [`database`] | the interface to the database: [`users`], [`links`], [`history`], [`statuses`], [`events`] |
//! | [`queues`] | the interface to the queues |

mod answer;
pub mod batch;
pub mod budget;
mod choose;
pub mod code;
mod complete_link;
pub mod database;
pub mod delivery;
pub mod details;
pub mod events;
pub mod failure;
mod function;
pub mod graph;
mod handler;
pub mod history;
pub mod incoming;
mod linking;
pub mod links;
pub mod llm;
mod lookup;
pub mod memory;
mod notice;
pub mod outcome;
pub mod queues;
pub mod read_receipts;
mod record;
mod redelivery;
mod refusal;
pub mod responder;
pub mod responders;
pub mod retry;
mod send;
pub mod settings;
pub mod split;
pub mod statuses;
pub mod stored_answers;
mod task;
pub mod turns;
mod updates;
pub mod users;

pub use function::{Clock, Reply};
