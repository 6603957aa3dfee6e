//! The corpora of the fuzz targets.

/// Calls `check` with each body of a fuzz target's corpus, and prints the file name to identify a failure.
pub fn each(target: &str, check: impl Fn(&[u8])) {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../functions/fuzz/corpus/").to_owned() + target;
    let files: Vec<_> = std::fs::read_dir(corpus).expect("the corpus").collect();
    assert!(files.len() > 100, "{} files", files.len());
    for file in files {
        let path = file.expect("a file").path();
        println!("{}", path.display());
        check(&std::fs::read(&path).expect("a body"));
    }
}
