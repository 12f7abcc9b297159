#!/usr/bin/env bash
# Every kind of copy on a real GPU, beside others and in every setting: tests/gpu/kinds.sh DIST [held]
#
# DIST is the folder that tests/gpu/dist.sh makes; needs a C compiler. Starts MPS for the second half, and ends it. Each
# line says how the program ended and whether every byte arrived; the exit code is 1 if one did not. With "held" only the
# kernels that have every SM and wait for a copy.
set -u
dist=$(realpath "${1:?usage: tests/gpu/kinds.sh DIST [held]}")
only=${2:-}
work=$(mktemp -d)
runtime=$(mktemp -d -p /dev/shm)
export XDG_RUNTIME_DIR=$runtime XDG_DATA_HOME=$work/data
export CUDA_MPS_PIPE_DIRECTORY=$work/mps CUDA_MPS_LOG_DIRECTORY=$work/mps-log
mkdir -p "$work/mps" "$work/mps-log"
missile=$dist/missile
others=()
wrong=0

# clean_up: ends everything that was started here, also where this script is ended.
clean_up() {
    stop_others
    timeout 20 "$missile" down >/dev/null 2>&1
    stop_mps
    rm -rf "$work" "$runtime"
}

stop_others() {
    if [ ${#others[@]} -gt 0 ]; then
        kill "${others[@]}" 2>/dev/null
        wait "${others[@]}" 2>/dev/null
    fi
    others=()
}

start_mps() { timeout 30 nvidia-cuda-mps-control -d; }

stop_mps() {
    # Its socket is there as long as the daemon is.
    if [ -S "$work/mps/control" ]; then echo quit | timeout 20 nvidia-cuda-mps-control; fi
}

trap clean_up EXIT
trap 'exit 143' TERM INT

for program in kinds held; do
    cc -O1 -w -pthread "$(dirname "$0")/copies/$program.c" -o "$work/$program" -ldl || exit 1
done

# try NAME COMMAND...: runs the program and says what came of it.
try() {
    local name=$1 code=0
    shift
    if [[ "$name" != "${only:-}"* ]]; then return; fi
    echo | timeout 20 "$@" >"$work/out" 2>&1 || code=$?
    if [ "$code" = 0 ] && grep -q '"wrong": *\[\]\|"right": true' "$work/out"; then
        echo "kinds $name: right $(grep -o '"took_ms": [0-9.]*' "$work/out")"
    else
        wrong=1
        echo "kinds $name: WRONG, exit $code: $(tail -c 400 "$work/out")"
    fi
}

# start_beside CLASS: two tenants that copy in both directions until stop_others.
start_beside() {
    local class=$1 load=(bulk 8M) way
    [ "$class" = ls ] && load=(ls 256K 500)
    for way in "" --to-host; do
        timeout 110 "$missile" run --class "$class" --color off -- \
            "$dist/examples/copier" "${load[@]}" --seconds 100 ${way:+"$way"} >/dev/null 2>&1 &
        others+=($!)
    done
    sleep 3
}

# A kernel that has every SM and waits for a copy: the copy must not wait for the kernel, whatever the program does.
held() {
    local meanwhile
    for meanwhile in stream event context query fetch free free_host unregister unload cooperative two late await; do
        try "held, $meanwhile, bare" "$work/held" "$meanwhile"
        try "held, $meanwhile, beside ls" "$missile" run --class be --color off -- "$work/held" "$meanwhile"
    done
}

try bare "$work/kinds" 2
for mps in 0 1; do
    if [ "$mps" = 1 ]; then start_mps || break; fi
    timeout 20 "$missile" up >/dev/null || { echo "kinds: the arbiter does not start" >&2; exit 1; }
    try "alone, mps $mps" "$missile" run --class be --color off -- "$work/kinds" 2
    for other in be ls; do
        if [ -n "$only" ] && [ "$mps$other" != 1ls ]; then continue; fi
        start_beside "$other"
        for copies in on gate off; do
            try "beside $other, mps $mps, copies $copies" \
                "$missile" run --class be --color off --copies "$copies" -- "$work/kinds" 2
        done
        if [ "$mps$other" = 1ls ]; then held; fi
        stop_others
    done
    timeout 20 "$missile" down >/dev/null
    if [ "$mps" = 1 ]; then stop_mps; fi
done
exit $wrong
