#!/usr/bin/env bash
# Makes dist/: everything that a machine with a GPU needs, built here, so that nothing is built there.
#
# dist/missile           the command line, stripped
# dist/lib/libmissile.so the preloaded library, stripped, where the command line looks for it first
# dist/examples/         the example programs, stripped
# dist/hooks             the benchmark of the hooks, stripped
# dist/ptx/              the GPU code that the programs carry inside, to read or to load by other means
# dist/tests/gpu/        the checks for a machine with a GPU, and the programs that they run
# dist/programs/         C programs of these, for a machine without a C compiler, whose glibc is no older than this one's
#
# The simulated driver is left out: there is a real one. What is built here loads on glibc 2.28 and later: see
# packaging/build.sh. Where that cannot be had, it needs a glibc no older than this machine's, and a line says so.
set -euo pipefail
cd "$(dirname "$0")/../.."

most_bytes=$((40 << 20))
target=${CARGO_TARGET_DIR:-target}

built=$target/glibc-2.28/release
code=0
packaging/build.sh --bins --examples --benches || code=$?
if [ "$code" = 3 ]; then
    echo "dist: an ordinary build instead: it needs a glibc no older than this machine's" >&2
    built=$target/release
    cargo build --locked --release --bins --examples --benches
elif [ "$code" != 0 ]; then
    exit "$code"
fi

# Newest first: other builds may have left theirs.
library=$(ls -t "$built"/build/missile-*/out/artefacts/libmissile.so 2>/dev/null | sed -n 1p || true)
[ -n "$library" ] || { echo "dist: there is no libmissile.so under $built/build" >&2; exit 1; }

rm -rf dist
mkdir -p dist/lib dist/examples dist/ptx
cp "$built/missile" dist/missile
cp "$library" dist/lib/libmissile.so
strip dist/missile
strip --strip-unneeded dist/lib/libmissile.so
for source in examples/*.rs examples/*/main.rs; do
    # A pattern without a match stands for itself.
    [ -f "$source" ] || continue
    name=$(basename "${source%/main.rs}" .rs)
    cp "$built/examples/$name" "dist/examples/$name"
    strip "dist/examples/$name"
done
# Newest first, as above; the compiler leaves a list of sources beside each.
bench=$(ls -t "$built"/deps/hooks-* | grep -v '\.d$' | sed -n 1p)
cp "$bench" dist/hooks
strip dist/hooks
find hashprobe src examples -name '*.ptx' -exec cp {} dist/ptx/ \;
# This script has no use there, and neither has what Python left behind.
find tests/gpu -type f ! -name dist.sh ! -path '*/__pycache__/*' -print0 | while IFS= read -r -d '' check; do
    install -D -p -m "$(stat -c %a "$check")" "$check" "dist/$check"
done
cp simgpu/tests/data/proc_address_*.tsv dist/tests/gpu/
for source in kinds.c held.c; do
    install -D -p -m 644 "tests/copies/$source" "dist/tests/gpu/copies/$source"
done
for source in churn.c memory.h; do
    install -D -p -m 644 "tests/coloring/$source" "dist/tests/gpu/coloring/$source"
done
for source in tests/paths/* tests/manners/*; do
    install -D -p -m 644 "$source" "dist/tests/gpu/${source#tests/}"
done
if command -v cc >/dev/null; then
    mkdir -p dist/programs
    for program in copier flags busy; do
        cc -O2 -pthread -s "tests/gpu/programs/$program.c" -o "dist/programs/$program" -ldl
    done
fi

bytes=$(du -sb dist | cut -f1)
find dist -type f -printf '%10s %p\n' | LC_ALL=C sort -k2
echo "dist/ has $bytes bytes"
if [ "$bytes" -gt "$most_bytes" ]; then
    echo "dist: that is more than the $most_bytes bytes allowed" >&2
    exit 1
fi
