//! The tests of what `shared` does over real sockets and in a process of its own, in one program.

mod counters;
mod http;
mod panic;
mod secrets;
mod supabase;
