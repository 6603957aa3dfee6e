//! Every promise, with the bodies that a fuzzer has found: those that take a path that no other takes.

use shared_testing::corpus;

use crate::invariants;

#[test]
fn every_body_of_the_corpus_keeps_every_promise() {
    corpus::each("work", invariants::check);
}
