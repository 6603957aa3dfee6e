//! Every promise, with the bodies that a fuzzer has found: those that take a path that no other takes.

use crate::invariants;

#[test]
fn every_body_of_the_corpus_keeps_every_promise() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/work");
    let files: Vec<_> = std::fs::read_dir(corpus).expect("the corpus").collect();
    assert!(files.len() > 100, "{} files", files.len());
    for file in files {
        let path = file.expect("a file").path();
        println!("{}", path.display());
        invariants::check(&std::fs::read(&path).expect("a body"));
    }
}
