"""Weights and activations of one framework's allocator: where each page lies, measured by latency.

`--mode` says who allocates: `native`, `expandable` and `async` are PyTorch's caching allocator, its expandable segments
and cudaMallocAsync (the variable that chooses is set by who starts this), `jax` preallocates, `cupy` has its pool.
"""
import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import sides

arguments = argparse.ArgumentParser()
arguments.add_argument("--mode", required=True, choices=["native", "expandable", "async", "jax", "cupy"])
arguments.add_argument("--ptx", required=True)
arguments.add_argument("--mask", required=True, type=lambda text: int(text, 16))
arguments.add_argument("--mib", required=True, type=int)
options = arguments.parse_args()

WIDTH = 4096
LAYER = WIDTH * WIDTH * 2
BATCH = 2048
ACTIVATION = BATCH * WIDTH * 2


def layers():
    """How many layers there are, each with its weights and the activations that it keeps."""
    return (options.mib << 20) // (LAYER + ACTIVATION)


def with_torch():
    import torch

    torch.manual_seed(7)
    torch.zeros(1, device="cuda")
    begun = time.perf_counter()
    weights = [torch.empty(WIDTH, WIDTH, device="cuda", dtype=torch.float16) for _ in range(layers())]
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begun
    kept = [torch.randn(BATCH, WIDTH, device="cuda", dtype=torch.float16)]
    for weight in weights:
        weight.normal_(0, 1 / 64)
        kept.append(torch.relu(kept[-1] @ weight))
    torch.cuda.synchronize()
    tensors = weights + kept
    checks = [float(kept[-1].float().abs().mean()), bool(torch.isfinite(kept[-1]).all())]
    return [(t.data_ptr(), t.numel() * t.element_size()) for t in tensors], seconds, checks, tensors


def with_jax():
    import jax
    import jax.numpy as jnp

    begun = time.perf_counter()
    first = jax.random.normal(jax.random.PRNGKey(7), (BATCH, WIDTH), dtype=jnp.float16).block_until_ready()
    seconds = time.perf_counter() - begun
    weights = [
        (jax.random.normal(jax.random.PRNGKey(n), (WIDTH, WIDTH), dtype=jnp.float16) / 64).block_until_ready()
        for n in range(layers())
    ]
    kept = [first]
    for weight in weights:
        kept.append(jax.nn.relu(kept[-1] @ weight).block_until_ready())
    arrays = weights + kept
    checks = [float(jnp.abs(kept[-1].astype(jnp.float32)).mean()), bool(jnp.isfinite(kept[-1]).all())]
    return [(a.unsafe_buffer_pointer(), a.nbytes) for a in arrays], seconds, checks, arrays


def with_cupy():
    import cupy

    cupy.zeros(1)
    begun = time.perf_counter()
    weights = [cupy.empty((WIDTH, WIDTH), dtype=cupy.float16) for _ in range(layers())]
    cupy.cuda.Device().synchronize()
    seconds = time.perf_counter() - begun
    kept = [cupy.random.standard_normal((BATCH, WIDTH), dtype=cupy.float32).astype(cupy.float16)]
    for weight in weights:
        weight[...] = cupy.random.standard_normal(weight.shape, dtype=cupy.float32) / 64
        kept.append(cupy.maximum(kept[-1] @ weight, 0))
    cupy.cuda.Device().synchronize()
    arrays = weights + kept
    checks = [float(cupy.abs(kept[-1].astype(cupy.float32)).mean()), bool(cupy.isfinite(kept[-1]).all())]
    return [(a.data.ptr, a.nbytes) for a in arrays], seconds, checks, arrays


def pages_on_sides(driver, ranges):
    """How many whole pages of the ranges lie on side 0 and on side 1."""
    latency = sides.Latency(driver, options.ptx)
    reference, named = sides.reference_pages(driver, options.mask)
    pages = numpy.concatenate([
        numpy.arange(-(-va // sides.PAGE) * sides.PAGE, (va + size) // sides.PAGE * sides.PAGE, sides.PAGE, dtype=numpy.uint64)
        for va, size in ranges
    ])
    pages = numpy.unique(pages)
    names = numpy.array([side for _, side in named])
    counts, gaps = [0, 0], []
    for start in range(0, len(pages), 1 << 17):
        part = pages[start:start + (1 << 17)]
        rows = latency.measure([va for va, _ in named] + part.tolist())
        votes = numpy.zeros(len(part), dtype=numpy.int64)
        for row in rows:
            cycles = numpy.array(row, dtype=numpy.float64)
            means = [cycles[:len(named)][names == side].mean() for side in (0, 1)]
            gaps.append(abs(means[0] - means[1]))
            above = cycles[len(named):] > sum(means) / 2
            votes += numpy.where(above == (means[1] > means[0]), 1, -1)
        counts[0] += int((votes < 0).sum())
        counts[1] += int((votes > 0).sum())
    driver.free(reference)
    return counts, sum(gaps) / len(gaps), len(pages)


ranges, seconds, checks, alive = {"jax": with_jax, "cupy": with_cupy}.get(options.mode, with_torch)()
driver = sides.Driver()
driver.own_context()
counts, gap, pages = pages_on_sides(driver, ranges)
print(json.dumps({
    "mode": options.mode, "pid": os.getpid(), "bytes": sum(size for _, size in ranges), "pages": pages,
    "side0": counts[0], "side1": counts[1], "gap_cycles": gap, "allocating_s": seconds, "checks": checks,
}), flush=True)
sys.stdin.readline()
