//! Supabase: its REST API (PostgREST), its API keys, and rows of the table `messages`.

#[cfg(feature = "supabase")]
mod client;
#[cfg(feature = "supabase")]
mod error;
#[cfg(feature = "supabase")]
mod key;
pub mod rows;

#[cfg(feature = "supabase")]
pub use client::{Answer, Caller, ProjectUrl, Query, Supabase, UrlError};
#[cfg(feature = "supabase")]
pub use error::SupabaseError;
#[cfg(feature = "supabase")]
pub use key::{ApiKey, ApiKeyError};
