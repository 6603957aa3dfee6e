#!/bin/sh
# The corpus of each target is one file in git, corpus/TARGET.tar.gz, and a directory of files while it is fuzzed.
#   fuzz/corpus.sh unpack    before fuzzing: adds the archives' files to corpus/TARGET/
#   fuzz/corpus.sh pack      after fuzzing: recreates the archives from corpus/TARGET/
# The archives are reproducible. Needs GNU tar and gzip.
set -eu
cd "$(dirname "$0")/corpus"

for target in receive work; do
    case ${1-} in
    unpack) tar -xzf "$target.tar.gz" ;;
    pack)
        tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rw,go=r,a+X -c "$target" |
            gzip -9n >"$target.tar.gz.new"
        mv "$target.tar.gz.new" "$target.tar.gz"
        ;;
    *)
        echo "usage: fuzz/corpus.sh unpack|pack" >&2
        exit 2
        ;;
    esac
done
