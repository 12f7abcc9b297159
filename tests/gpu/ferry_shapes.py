"""What shape of kernel leaves most of the bus to a small copy: `python3 tests/gpu/ferry_shapes.py [--seconds S] [--rounds N]`.

Needs nvcc and MPS, and no Missile: decision 020 rests on what it prints. For each direction a bulk copier goes through the
shapes (programs/ferry_shapes.cu) while another process makes small copies by the engine. One row a shape and round: what
the bulk copies moved, and how long the small ones took meanwhile.
"""
import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import harness

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("--seconds", type=float, default=0.4, help="for each shape")
parser.add_argument("--rounds", type=int, default=2)
options = parser.parse_args()
WORK = Path(tempfile.mkdtemp(prefix="missile-shapes-"))
PROGRAM, CONTROL = WORK / "ferry_shapes", shutil.which("nvidia-cuda-mps-control")
SHAPES = 24
source = Path(__file__).resolve().parent / "programs" / "ferry_shapes.cu"
nvcc = Path(os.path.realpath(harness.nvcc()))
stubs = [f"-L{folder}" for folder in nvcc.parent.parent.glob("**/stubs")]
subprocess.run([nvcc, "-O2", "-std=c++17", "-arch=native", "-o", PROGRAM, source, *stubs, "-lcuda"], check=True)
ENV = dict(os.environ, CUDA_MPS_PIPE_DIRECTORY=str(WORK / "pipe"), CUDA_MPS_LOG_DIRECTORY=str(WORK / "log"))


def start(*words):
    return subprocess.Popen([PROGRAM, *map(str, words)], env=ENV, stdout=subprocess.PIPE, text=True)


def small(process):
    """(when, how many us) of each copy."""
    lines = process.communicate(timeout=120)[0].splitlines()
    return [tuple(map(float, line.split())) for line in lines]


def row(what, rate, took):
    took = sorted(took)
    at = [took[len(took) * part // 100] for part in (50, 90, 99)] if took else [0, 0, 0]
    print(f"{what:40} {rate:6.2f} GB/s  small p50 {at[0]:6.1f}  p90 {at[1]:6.1f}  p99 {at[2]:6.1f} us, {len(took)} copies", flush=True)


for folder in ("pipe", "log"):
    (WORK / folder).mkdir()
subprocess.run([CONTROL, "-d"], env=ENV, check=True, timeout=30)
try:
    print(subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"], capture_output=True, text=True).stdout.strip())
    for direction in ("h2d", "d2h"):
        for _ in range(options.rounds):
            row(f"{direction} nothing", 0, [us for _, us in small(start("small", direction, 1))])
            bulk, other = start("bulk", direction, options.seconds), start("small", direction, SHAPES * (options.seconds + 0.1) + 2)
            shapes = bulk.communicate(timeout=120)[0].splitlines()
            took = small(other)
            for line in shapes:
                name, when, rate = line.split("|")
                begun, end = map(float, when.split())
                row(f"{direction} {name}", float(rate), [us for at, us in took if begun <= at < end])
finally:
    subprocess.run([CONTROL], input=b"quit\n", env=ENV, timeout=30, capture_output=True)
    shutil.rmtree(WORK, ignore_errors=True)
