#!/usr/bin/env bash
# Builds in release mode what loads on glibc 2.28 and later: packaging/build.sh [ARGUMENT of cargo build]...
#
# The results lie in $CARGO_TARGET_DIR/glibc-2.28/release, by default target/glibc-2.28/release. Needs an x86-64 Linux
# machine that can do an ordinary build with gcc; the first time also python3 with venv, and its package registry.
# Exit code 3: that registry cannot be reached.
#
# A linker picks of each function the newest version that it finds in the C library at hand. So this one is given
# stand-ins for the libraries of glibc 2.28: the right names and versions, and no code. Zig makes them. Compiler, linker
# and flags stay those of an ordinary build. Zig as the linker would refuse -Bsymbolic-functions, and would link in an
# unwinder of its own, which cannot work together with the libgcc_s that a program has.
set -euo pipefail
cd "$(dirname "$0")/.."

glibc=2.28
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "build: this builds on x86-64 Linux only" >&2; exit 1; }

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/glibc-$glibc
# Other pins get another folder.
link=$target/link-$(sha256sum packaging/build.sh packaging/zig.txt | sha256sum | cut -c1-16)

# Makes the folder $link: the stand-ins, the start-up code of glibc 2.28, and a linker command that uses them.
make_link_folder() {
    local work zig name file
    mkdir -p "$target"
    work=$(mktemp -d "$target/making-link.XXXXXX")
    # shellcheck disable=SC2064  # The folder is known now.
    trap "rm -rf '$work'" EXIT
    echo "build: fetching Zig, to make stand-ins for glibc $glibc" >&2
    python3 -m venv "$work/venv"
    if ! "$work/venv/bin/python" -m pip install --quiet --no-cache-dir --timeout 20 --retries 2 --no-deps \
        --only-binary :all: --require-hashes --requirement packaging/zig.txt 2>"$work/pip.log"; then
        cat "$work/pip.log" >&2
        # No attempt got an answer, and that is why it failed: not, say, a file with another hash.
        if grep -q "after connection broken by" "$work/pip.log" &&
            grep -q -e "(from versions: none)" -e "Max retries exceeded" "$work/pip.log"; then
            echo "build: the Python package registry cannot be reached" >&2
            exit 3
        fi
        exit 1
    fi
    zig=$("$work/venv/bin/python" -c 'import os, ziglang; print(os.path.dirname(ziglang.__file__))')/zig

    # Linking any program leaves the files in Zig's cache.
    echo 'int main(void) { return 0; }' >"$work/main.c"
    ZIG_GLOBAL_CACHE_DIR=$work/cache ZIG_LOCAL_CACHE_DIR=$work/cache \
        "$zig" cc -target "x86_64-linux-gnu.$glibc" -fPIE -pie "$work/main.c" -o "$work/main"
    mkdir "$work/link"
    for name in Scrt1.o libc_nonshared.a libc.so.6 libdl.so.2 libld.so.2 libm.so.6 libpthread.so.0 librt.so.1 \
        libutil.so.1; do
        file=$(find "$work/cache" -name "$name")
        [ -f "$file" ] || { echo "build: Zig made not one $name but: $file" >&2; exit 1; }
        cp "$file" "$work/link/$name"
    done
    # Some functions are also in libc, where they stayed. From there, so that the others are needed for less.
    for name in libdl.so.2 libm.so.6 libpthread.so.0 librt.so.1 libutil.so.1; do
        echo "INPUT(libc.so.6 AS_NEEDED($name))" >"$work/link/${name%.*}"
    done
    echo "INPUT(libc.so.6 libc_nonshared.a AS_NEEDED(libld.so.2))" >"$work/link/libc.so"
    # This machine's libgcc_s itself needs this machine's C library; that is not for the linker to find.
    cat >"$work/link/cc" <<'END'
#!/bin/sh
exec cc -B"$(dirname "$0")" "$@" -Wl,--allow-shlib-undefined
END
    chmod +x "$work/link/cc"
    # Another build may have been faster.
    mv -T "$work/link" "$link" 2>/dev/null || [ -x "$link/cc" ]
    rm -rf "$work"
    trap - EXIT
}

[ -x "$link/cc" ] || make_link_folder

# In the variables that also reach the nested cargo of build.rs.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
export CARGO_TARGET_DIR=$target
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=$link/cc
# No folder of this machine in messages.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
# Such a build looks for its libraries where they are installed, and not in a folder of this machine (build.rs).
export MISSILE_PACKAGED=1
# No line tables. The names of functions stay, for backtraces.
export CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=debuginfo
exec cargo build --locked --release "$@"
