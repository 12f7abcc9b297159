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
for program in kinds held; do
    cc -O1 -w -pthread "$(dirname "$0")/copies/$program.c" -o "$work/$program" -ldl || exit 1
done
wrong=0

# try NAME COMMAND...: runs the program and says what came of it.
try() {
    local name=$1 code=0
    shift
    if [[ "$name" != "${only:-}"* ]]; then return; fi
    echo | timeout 20 "$@" >"$work/out" 2>&1 || code=$?
    if [ "$code" = 0 ] && grep -q '"wrong": *\[\]\|"right": true' "$work/out"; then
        echo "kinds $name: right$(grep -o '"took_ms": [0-9.]*' "$work/out")"
    else
        wrong=1
        echo "kinds $name: WRONG, exit $code: $(tail -c 400 "$work/out")"
    fi
}

# A kernel that has every SM and waits for a copy, which a kernel can then not do.
held() {
    local meanwhile first
    for first in small none again; do
        try "held, $first before, beside ls" "$missile" run --class be --color off -- "$work/held" stream "$first"
    done
    for connections in 1 2 8; do
        CUDA_DEVICE_MAX_CONNECTIONS=$connections try "held, $connections queues, bare" "$work/held" stream
        CUDA_DEVICE_MAX_CONNECTIONS=$connections try "held, $connections queues, beside ls" \
            "$missile" run --class be --color off -- "$work/held" two
    done
    for meanwhile in stream event context query fetch free free_host unregister unload cooperative two late await; do
        try "held, $meanwhile, bare" "$work/held" "$meanwhile"
        try "held, $meanwhile, beside ls" "$missile" run --class be --color off -- "$work/held" "$meanwhile"
    done
}

try bare "$work/kinds" 2
for mps in 0 1; do
    if [ "$mps" = 1 ]; then nvidia-cuda-mps-control -d || break; fi
    for piece in 64K ""; do
        timeout 20 "$missile" up ${piece:+--piece "$piece"} >/dev/null
        try "alone, mps $mps, piece ${piece:-adaptive}" "$missile" run --class be --color off -- "$work/kinds" 2
        for other in be ls; do
            if [ -n "$only" ] && [ "$mps$other$piece" != 1ls ]; then continue; fi
            load=(bulk 8M)
            [ "$other" = ls ] && load=(ls 256K 500)
            beside=("$missile" run --class "$other" --color off -- "$dist/examples/copier" "${load[@]}" --seconds 100)
            timeout 110 "${beside[@]}" >/dev/null 2>&1 &
            to_device=$!
            timeout 110 "${beside[@]}" --to-host >/dev/null 2>&1 &
            to_host=$!
            sleep 3
            for how in on engine; do
                try "beside $other, mps $mps, piece ${piece:-adaptive}, copies $how" \
                    "$missile" run --class be --color off --copies "$how" -- "$work/kinds" 2
            done
            if [ "$mps$other$piece" = 1be ]; then
                try "held, none before, beside be" "$missile" run --class be --color off -- "$work/held" stream none
            fi
            if [ "$mps$other$piece" = 1ls ]; then held; fi
            kill "$to_device" "$to_host"
            wait "$to_device" "$to_host" 2>/dev/null
        done
        timeout 20 "$missile" down >/dev/null
    done
    if [ "$mps" = 1 ]; then echo quit | nvidia-cuda-mps-control; fi
done
rm -rf "$work" "$runtime"
exit $wrong
