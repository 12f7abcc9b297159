"""A PyTorch tenant: a BERT forward, its output, and the measured side of every page that its allocator holds.

Weights come from a fixed seed, so any two runs on one GPU must give the same output. `--meet FOLDER --others N` lets N
tenants run their forwards at the same time, then measure one after the other, on an otherwise idle GPU.
"""
import argparse
import fcntl
import hashlib
import json
import os
import time
from pathlib import Path

import torch
from transformers import BertConfig, BertModel

import sides

arguments = argparse.ArgumentParser()
arguments.add_argument("--name", required=True)
arguments.add_argument("--ptx", required=True)
arguments.add_argument("--mask", required=True, type=lambda text: int(text, 16))
arguments.add_argument("--meet", required=True, type=Path)
arguments.add_argument("--tenants", type=int, default=1)
arguments.add_argument("--bare", action="store_true", help="without Missile, where nothing tells physical addresses")
options = arguments.parse_args()


def meet(point):
    """Waits until all tenants have come to this point."""
    (options.meet / f"{point}.{options.name}").touch()
    limit = time.time() + 120
    while len(list(options.meet.glob(f"{point}.*"))) < options.tenants:
        if time.time() > limit:
            raise SystemExit(f"the other tenants did not come to {point}")
        time.sleep(0.01)


torch.manual_seed(7)
started = time.time()
with torch.inference_mode():
    model = BertModel(BertConfig()).half().cuda().eval()
    tokens = torch.randint(0, 30000, (8, 128), generator=torch.Generator().manual_seed(11)).cuda()
    model(tokens)
    torch.cuda.synchronize()
    loaded = time.time() - started
    meet("ready")
    for _ in range(50):
        output = model(tokens).last_hidden_state
    torch.cuda.synchronize()
    digest = hashlib.sha256(output.cpu().numpy().tobytes()).hexdigest()
finite = bool(torch.isfinite(output).all())
meet("measured-next")
ranges = [(s["address"], s["total_size"]) for s in torch.cuda.memory_snapshot() if s["total_size"] >= 2 << 20]
zeros, ones, gap = 0, 0, 0.0
with open(options.meet / "turn", "w") as turn:
    fcntl.flock(turn, fcntl.LOCK_EX)
    if not options.bare:
        zeros, ones, gap = sides.measure_sides(sides.Driver(), options.ptx, options.mask, ranges)
meet("done")
print(json.dumps({
    "name": options.name, "pid": os.getpid(), "side0": zeros, "side1": ones, "gap_cycles": gap, "segments": len(ranges),
    "bytes": sum(size for _, size in ranges), "output": digest, "finite": finite, "load_seconds": loaded,
}))
