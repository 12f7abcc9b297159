#!/usr/bin/env bash
# Makes the release artefacts for x86-64, which load on glibc 2.28 and later: packaging/release.sh [OUT]
#
# OUT/bin/missile                  the command line
# OUT/lib/missile/libmissile.so    the preloaded library, where the command line looks for it
# OUT/lib/missile/sim/libcuda.so.1 the simulated driver
# OUT/lib/missile/sim/libcuda.so   a link to it, for programs that ask for that name first
# OUT/LICENSE-*
# OUT/missile-VERSION-TARGET.tar.gz  all of that in one folder
#
# OUT is dist/ by default, which is emptied first. Any other folder has to be empty or new. What it needs, and exit
# code 3: packaging/build.sh.
set -euo pipefail
[ $# -le 1 ] || { echo "usage: packaging/release.sh [OUT]" >&2; exit 2; }
out=$(realpath -m "${1:-$(dirname "$0")/../dist}")
cd "$(dirname "$0")/.."

if [ $# -eq 0 ]; then
    rm -rf "$out"
elif [ -n "$(ls -A "$out" 2>/dev/null)" ]; then
    echo "release: $out is not empty" >&2
    exit 2
fi

packaging/build.sh --bins
built=${CARGO_TARGET_DIR:-target}/glibc-2.28/release
# Newest first: earlier builds may have left theirs.
libraries=$(dirname "$(ls -t "$built"/build/missile-*/out/artefacts/libmissile.so | sed -n 1p)")

version=$(cargo pkgid --locked)
name=missile-${version##*[#@]}-x86_64-unknown-linux-gnu
install -D "$built/missile" "$out/bin/missile"
install -D "$libraries/libmissile.so" "$out/lib/missile/libmissile.so"
install -D "$libraries/sim/libcuda.so.1" "$out/lib/missile/sim/libcuda.so.1"
ln -s libcuda.so.1 "$out/lib/missile/sim/libcuda.so"
install -m 644 LICENSE-APACHE LICENSE-MIT "$out/"

files=(bin/missile lib/missile/libmissile.so lib/missile/sim/libcuda.so.1)
check=$PWD/packaging/check_glibc.sh
cd "$out"
"$check" "${files[@]}"
# The same files give the same archive.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --transform="s,^,$name/," -c \
    LICENSE-APACHE LICENSE-MIT "${files[@]}" lib/missile/sim/libcuda.so | gzip -9n >"$name.tar.gz"
printf '%10d  %-12s %s\n' "$(stat -c %s "$name.tar.gz")" "" "$name.tar.gz"
