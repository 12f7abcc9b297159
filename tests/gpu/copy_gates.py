"""What ways of holding a bulk copy back cost, and what they leave to a small copy beside it.

`python3 tests/gpu/copy_gates.py --out FOLDER [--cuda FOLDER_OF_LIBCUDA] [--seconds S]`. Needs a C compiler and no
Missile: decision 011 rests on what it prints. Alone: ways and sizes of pieces without MPS. Beside each other: under MPS
where there is one, then time-sliced.
"""
import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

arguments = argparse.ArgumentParser()
arguments.add_argument("--out", type=Path, default=Path("copy-gates"))
arguments.add_argument("--cuda", help="where to look for libcuda first, to try this on a simulated GPU")
arguments.add_argument("--seconds", type=float, default=0.6)
arguments.add_argument("--only", default="", help="the ways that begin with this, and what they stand beside")
options = arguments.parse_args()
options.out.mkdir(parents=True, exist_ok=True)
HERE = Path(__file__).resolve().parent
WORK = Path(tempfile.mkdtemp(prefix="missile-gates-"))
GATES = WORK / "gates"
FLAG = Path(f"/dev/shm/missile-gates-{os.getpid()}")
ENV = dict(os.environ)
if options.cuda:
    ENV.update(LD_LIBRARY_PATH=options.cuda)
log = open(options.out / "copy-gates.jsonl", "w")


def start(*words, **env):
    return subprocess.Popen([GATES, *map(str, words)], env={**ENV, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process, seconds, **about):
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = "", "took too long"
    found = json.loads(out) if out.startswith("{") else {"error": err.strip()[-200:]}
    log.write(json.dumps({**about, **found}) + "\n")
    log.flush()
    return found


def alone(way, piece):
    if not way.startswith(options.only) and piece < 64 * M:
        return
    found = answer(start("bulk", way, piece, options.seconds), 30, setup="alone")
    print(f"{way:13} {piece >> 10:6} KiB  {found.get('gbps', 0):6.2f} GB/s  {found.get('us_a_piece', 0):7.2f} us a piece  {found.get('submit_us', 0):6.0f} us to submit  {found.get('error', '')}", flush=True)


def beside(label, small, bulk, small_flag=False, bulk_flag=False, seconds=1.5, small_env={}, bulk_env={}):
    """A small copier beside a bulk copier (or none)."""
    if bulk and not (bulk[0].startswith(options.only) or small.startswith(options.only) or bulk[1] == 64 * M):
        return
    other = None
    if bulk:
        other = start("bulk", *bulk, seconds + 2.0, *([FLAG] if bulk_flag else []), **bulk_env)
        time.sleep(1.2)
    one = answer(start("small", small, 500, seconds, *([FLAG] if small_flag else []), **small_env), 30, setup=label, bulk=bulk)
    two = answer(other, 30, setup=label, small=small) if other else {}
    print(f"{label:11} {small:9} {'flag' if small_flag else '-':5} beside {str(bulk):26} p50 {one.get('p50_us', 0):7.1f}  p90 {one.get('p90_us', 0):7.1f}  p99 {one.get('p99_us', 0):7.1f}  max {one.get('max_us', 0):8.1f}   bulk {two.get('gbps', 0):6.2f} GB/s {one.get('error', '')}{two.get('error', '')}", flush=True)


def mps(on):
    control = shutil.which("nvidia-cuda-mps-control")
    if options.cuda or not control:
        return False
    if on:
        for name in ("PIPE", "LOG"):
            (WORK / name).mkdir(exist_ok=True)
            ENV[f"CUDA_MPS_{name}_DIRECTORY"] = str(WORK / name)
        subprocess.run([control, "-d"], env=ENV, check=True, timeout=30)
    else:
        subprocess.run([control], input=b"quit\n", env=ENV, timeout=30, capture_output=True)
        ENV.pop("CUDA_MPS_PIPE_DIRECTORY"), ENV.pop("CUDA_MPS_LOG_DIRECTORY")
    return True


K, M = 1 << 10, 1 << 20
subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", GATES, HERE / "programs" / "gates.c", "-ldl", "-lpthread"], check=True)
try:
    alone("plain", 64 * M)
    for blocks in (1, 2, 4, 8, 16, 32, 64):
        alone(f"kernel{blocks}", 64 * M)
    for blocks in (4, 8, 16):
        alone(f"kernel{blocks}-d2h", 64 * M)
    for blocks in (4, 8, 16):
        alone(f"kernel{blocks}", 4 * M)
    for piece in (256 * K, M, 2 * M):
        for way in ("plain", "paced2", "two", "batch", "wait", "write", "write-weak", "both", "batched", "both-device", "events"):
            alone(way, piece)
    for label in ("mps", "time-sliced"):
        had_mps = label == "mps" and mps(True)
        try:
            beside(label, "h2d", None)
            beside(label, "h2d", ("plain", 64 * M))
            beside(label, "h2d", ("both", M), True, True)
            beside(label, "h2d", ("kernel8", 64 * M))
            if label == "mps":
                beside(label, "kernel16", None)
                for small in ("d2d", "any", "priority", "kernel8", "kernel16", "kernel32"):
                    beside(label, small, ("plain", 64 * M))
                for blocks in (2, 4, 8, 16, 32):
                    for piece in (64 * M, 4 * M) if blocks == 8 else (64 * M,):
                        beside(label, "h2d", (f"kernel{blocks}", piece))
                        beside(label, "-d2h", (f"kernel{blocks}-d2h", piece))
                beside(label, "-d2h", None)
                beside(label, "-d2h", ("-d2h", 64 * M))
                beside(label, "kernel8-d2h", ("-d2h", 64 * M))
                beside(label, "kernel8", ("kernel8", 64 * M))
                beside("mps-low", "h2d", ("plain", 64 * M), bulk_env={"CUDA_MPS_CLIENT_PRIORITY": "1"})
                beside(label, "h2d", ("paced2", 256 * K))
                beside(label, "h2d", ("paced1", M))
                beside(label, "h2d", ("paced1", 2 * M))
                for piece in (512 * K, M, 3 * M // 2, 2 * M, 4 * M):
                    beside(label, "h2d", ("wait", piece), True, True)
                for piece in (M, 2 * M):
                    beside(label, "h2d", ("batched", piece), True, True)
                beside(label, "h2d", ("wait", M), False, True)
        finally:
            if had_mps:
                mps(False)
finally:
    shutil.rmtree(WORK, ignore_errors=True)
    FLAG.unlink(missing_ok=True)
