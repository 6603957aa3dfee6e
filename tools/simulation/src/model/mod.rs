//! The data of a run.
//!
//! | module | content |
//! |---|---|
//! | [`world`] | the state of every service, and the clock |
//! | [`clock`] | the start of every run |
//! | [`faults`] | the faults and their rates |
//! | [`defect`] | deliberate defects |
//! | [`people`] | the messages of users, and their distribution over payloads |
//! | [`person`] | a user |
//! | [`questions`] | messages of users, and of the business itself |
//! | [`posts`] | payloads |
//! | [`links`] | links of users in the database |
//! | [`codes`] | codes in the database, by which people link themselves |
//! | [`strangers`] | what the database remembers of unlinked senders |
//! | [`linkers`] | people who link themselves: drawing, and what they did |
//! | [`changes`] | changes of their numbers and user ids: drawing and payloads |
//! | [`statuses`] | statuses of answers |
//! | [`events`] | all other events |
//! | [`llm`] | the language model: its faults, limits and calls |
//! | [`turns`] | the window and the bursts of a run, stored answers, holds |
//! | [`attempts`] | the outcome of each handling of a turn |
//! | [`trace`] | the log of a run |

pub mod attempts;
pub mod changes;
pub mod clock;
pub mod codes;
pub mod defect;
pub mod events;
pub mod faults;
pub mod linkers;
pub mod links;
pub mod llm;
pub mod people;
pub mod person;
pub mod posts;
pub mod questions;
pub mod statuses;
pub mod strangers;
pub mod trace;
pub mod turns;
pub mod world;
