//! The corpora of the fuzz targets: `fuzz/corpus/TARGET.tar.gz`, made by `fuzz/corpus.sh`.

use std::fs::File;
use std::io::Read as _;

use flate2::read::GzDecoder;
use tar::Archive;

/// Calls `check` with each body of a fuzz target's corpus, and prints the file name to identify a failure.
pub fn each(target: &str, check: impl Fn(&[u8])) {
    let path = format!("{}/../../fuzz/corpus/{target}.tar.gz", env!("CARGO_MANIFEST_DIR"));
    let mut archive = Archive::new(GzDecoder::new(File::open(path).expect("the corpus")));
    let mut count = 0;
    for entry in archive.entries().expect("an archive") {
        let mut entry = entry.expect("an entry");
        if !entry.header().entry_type().is_file() {
            continue;
        }
        println!("{}", entry.path().expect("a path").display());
        let mut body = Vec::new();
        entry.read_to_end(&mut body).expect("a body");
        check(&body);
        count += 1;
    }
    assert!(count > 500, "{count} bodies");
}
