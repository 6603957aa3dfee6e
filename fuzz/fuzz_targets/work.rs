//! The processing of a queue message's body by `reply`: a message, a status, an event.

#![no_main]

#[path = "../../functions/reply/tests/it/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|body: &[u8]| invariants::check(body));
