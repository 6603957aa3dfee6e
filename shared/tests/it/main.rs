//! Integration tests of `shared`, over real sockets and in processes of their own, in one binary.

mod counters;
mod http;
mod panic;
mod secrets;
mod supabase;
