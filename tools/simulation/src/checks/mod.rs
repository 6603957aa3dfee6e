//! The guarantees.
//!
//! | module | content |
//! |---|---|
//! | [`invariants`] | rows, answers, order, delays; calls the other checks |
//! | [`echoes`] | causes of second answers, and their words |
//! | [`turns`] | turns in the history, holds, stored answers |
//! | [`llm`] | answers of the language model: paid for once, within limits and time |
//! | [`business`] | messages that the business sends itself |
//! | [`statuses`] | statuses of answers |
//! | [`events`] | all other events |
//! | [`links`] | links of users |
//! | [`linking`] | links by their holders |
//! | [`registration`] | registration texts |
//! | [`loops`] | loops with automatic correspondents |
//! | [`history`] | reading of every history through `messages` |
//! | [`findings`] | the violations of a run |

pub mod business;
pub mod echoes;
pub mod events;
pub mod findings;
pub mod history;
pub mod invariants;
pub mod linking;
pub mod links;
pub mod llm;
pub mod loops;
pub mod registration;
pub mod statuses;
pub mod turns;
