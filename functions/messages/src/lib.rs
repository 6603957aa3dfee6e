//! `messages`: `GET /messages`, the caller's own history.
//!
//! The caller's JWT is forwarded: Supabase verifies it, and row-level security selects the visible rows. This function
//! has no users and no secrets of its own.
//!
//! | module | purpose |
//! |---|---|
//! | [`handler`] | routing of requests and the responses to them |
//! | [`bearer`] | the caller's token |
//! | [`page`] | the query parameters, and the link to the next page |
//! | [`cursor`] | the start of a page, as an opaque string |
//! | [`filter`] | the parameters `channel` and `role` |
//! | [`history`] | reads a page from Supabase |
//! | [`rows`] | reads as many rows as a response can hold |
//! | [`problem`] | errors, as `application/problem+json` |
//! | [`settings`] | environment variables |

pub mod bearer;
pub mod cursor;
pub mod filter;
pub mod handler;
pub mod history;
pub mod page;
pub mod problem;
pub mod rows;
pub mod settings;

pub use handler::Messages;
