# Shorthands for https://just.systems; docs/LOCAL.md explains each command.

# The pipeline on this machine, with the page; or one of its commands: `just run replay local/samples`.
run *arguments:
    cargo run -p local -- {{arguments}}

test:
    cargo test --workspace

# The page in a browser.
page *files:
    .ci/page {{files}}

bench *arguments:
    cargo run --release -p bench -- {{arguments}}

# One of `receive` and `work`: begins with what was found before.
fuzz target="receive": unpack
    cargo +nightly fuzz run {{target}} -- -dict=fuzz/meta.dict -max_total_time=600

unpack:
    fuzz/corpus.sh unpack

simulate *arguments="--runs 1000":
    cargo run --release -p simulation -- {{arguments}}

lint:
    cargo fmt --all --check && cargo clippy --workspace --all-targets -- -D warnings && .ci/circles

# All that must hold before a merge.
ci:
    .ci/run
