//! The invariants, checked with the bodies that a fuzzer has found, each with a code path of its own.

use shared_testing::corpus;

use crate::invariants;

#[test]
fn every_body_of_the_corpus_satisfies_every_invariant() {
    corpus::each("work", invariants::check);
}
