//! The processing of a body by `webhook`: signature, updates, envelopes, calls to SQS.

#![no_main]

#[path = "../../functions/webhook/tests/it/invariants/mod.rs"]
mod invariants;

libfuzzer_sys::fuzz_target!(|body: &[u8]| invariants::check(body));
