//! `messages`: `GET /messages`, the caller's own history.
//!
//! The caller's JWT is forwarded, so Supabase verifies it and row-level security decides what is seen.
//! This function knows no user and holds no secret.
//!
//! | module | what it does |
//! |---|---|
//! | [`handler`] | which request gets which answer |
//! | [`bearer`] | the caller's token |
//! | [`page`] | the parameters of a query, and the link to the next page |
//! | [`cursor`] | where a page begins, as an opaque text |
//! | [`filter`] | `channel` and `role` |
//! | [`history`] | asking Supabase for a page |
//! | [`rows`] | as many rows as an answer can hold |
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
