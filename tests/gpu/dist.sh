#!/usr/bin/env bash
# Makes dist/: everything that a machine with a GPU needs, built here, so that nothing is built there.
#
# dist/missile           the command line, stripped
# dist/lib/libmissile.so the preloaded library, stripped, where the command line looks for it first
# dist/examples/         the example programs, stripped
# dist/ptx/              the GPU code that the programs carry inside, to read or to load by other means
# dist/tests/gpu/        the checks for a machine with a GPU
#
# The simulated driver is left out: there is a real one. What is built here needs a C library (glibc) no older than
# this machine's.
set -euo pipefail
cd "$(dirname "$0")/../.."

most_bytes=$((40 << 20))
target=${CARGO_TARGET_DIR:-target}

cargo build --locked --release --bins --examples

# Newest first: other builds may have left theirs.
library=$(ls -t "$target"/release/build/missile-*/out/artefacts/libmissile.so 2>/dev/null | sed -n 1p || true)
[ -n "$library" ] || { echo "dist: there is no libmissile.so under $target/release/build" >&2; exit 1; }

rm -rf dist
mkdir -p dist/lib dist/examples dist/ptx dist/tests/gpu
cp "$target/release/missile" dist/missile
cp "$library" dist/lib/libmissile.so
strip dist/missile
strip --strip-unneeded dist/lib/libmissile.so
for source in examples/*.rs examples/*/main.rs; do
    # A pattern without a match stands for itself.
    [ -f "$source" ] || continue
    name=$(basename "${source%/main.rs}" .rs)
    cp "$target/release/examples/$name" "dist/examples/$name"
    strip "dist/examples/$name"
done
find hashprobe src examples -name '*.ptx' -exec cp {} dist/ptx/ \;
for check in tests/gpu/*.py tests/gpu/*.sh; do
    # This script has no use there.
    if [ -f "$check" ] && [ "$(basename "$check")" != dist.sh ]; then cp -p "$check" dist/tests/gpu/; fi
done

bytes=$(du -sb dist | cut -f1)
find dist -type f -printf '%10s %p\n' | LC_ALL=C sort -k2
echo "dist/ has $bytes bytes"
if [ "$bytes" -gt "$most_bytes" ]; then
    echo "dist: that is more than the $most_bytes bytes allowed" >&2
    exit 1
fi
