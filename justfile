# Shorthands for https://just.systems; docs/LOCAL.md and CONTRIBUTING.md explain the commands.

# The pipeline on this machine, with the page; or another command of `local`: `just run replay local/samples`.
run *arguments:
    cargo run -p local -- {{arguments}}

test:
    cargo test --workspace

# The page in a browser.
page *files:
    .ci/page {{files}}

bench *arguments:
    cargo run --release -p bench -- {{arguments}}

# The target is `receive` or `work`; fuzzing starts from the stored corpus.
fuzz target="receive": unpack
    cargo +nightly fuzz run {{target}} -- -dict=fuzz/meta.dict -max_total_time=600

unpack:
    fuzz/corpus.sh unpack

simulate *arguments="--runs 1000":
    cargo run --release -p simulation -- {{arguments}}

lint:
    cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings && .ci/import-cycles

# All checks required before a merge.
ci:
    .ci/run
