//! All invariants, on the bodies that a fuzzer found: each covers a path of the code that no other covers.

use shared_testing::corpus;

use crate::invariants;

#[test]
fn every_body_of_the_corpus_satisfies_all_invariants() {
    corpus::each("receive", invariants::check);
}
