"""A PyTorch tenant of isolation.py, confined to the SMs of one side: `ls` serves a BERT, `be` copies 1 GiB in a loop.

It answers each line of its input with a line of JSON: `partition` finds the SMs of its side, which needs an idle GPU;
`load` makes what it works with. Then `ls` takes `serve SECONDS SEED`, and `be` takes `run` and `stop`. It ends with its
input or at an empty line, and does nothing while it waits.
"""
import argparse
import gc
import hashlib
import json
import os
import random
import select
import sys
import time
from collections import deque

import torch
from transformers import BertConfig, BertModel

import green
import sides

RATE = 100
BATCH, SEQUENCE = 8, 128
COPY_BYTES = 512 << 20
# Copies are handed over in bursts, of which some wait behind the one that runs.
BURST, WAITING = 4, 2
# How long after its last arrival the server still answers.
GRACE = 2
CHUNK = 64 << 20

arguments = argparse.ArgumentParser()
arguments.add_argument("role", choices=("ls", "be"))
arguments.add_argument("--side", required=True, type=int, choices=(0, 1))
arguments.add_argument("--mask", required=True, type=lambda text: int(text, 16))
arguments.add_argument("--ptx", required=True)
options = arguments.parse_args()


def answer(**what):
    print(json.dumps(what), flush=True)


def told():
    """Whether there is a line to read."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


def share_on_side(ranges):
    """The share of the pages that are on this tenant's side, by the table's formula; `None` where not all are known."""
    own, pages = 0, 0
    try:
        for va, size in ranges:
            for first in range(va, va + size, CHUNK):
                for extent in sides.extents(first, min(CHUNK, va + size - first)):
                    for phys in range(extent.phys, extent.phys + extent.bytes, sides.PAGE):
                        own += sides.parity(phys & options.mask) == options.side
                        pages += 1
    except RuntimeError:
        return None
    return own / pages if pages else None


def memory():
    """What PyTorch's allocator holds, and on which side."""
    ranges = [(s["address"], s["total_size"]) for s in torch.cuda.memory_snapshot() if s["total_size"] >= 2 << 20]
    return {"reserved": torch.cuda.memory_reserved(), "segments": len(ranges), "on_side": share_on_side(ranges)}


class Server:
    """A BERT in a graph, and requests for it that come at random."""

    def __init__(self, stream):
        self.stream = stream
        torch.manual_seed(7)
        model = BertModel(BertConfig()).half().cuda().eval()
        tokens = torch.randint(0, 30000, (BATCH, SEQUENCE), generator=torch.Generator().manual_seed(11)).cuda()

        def forward():
            # All tokens count. The model itself would make a mask and look whether that is so, which no capture allows.
            return model.pooler(model.encoder(model.embeddings(input_ids=tokens)).last_hidden_state)

        for _ in range(5):
            forward()
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"):
            self.output = forward()
        # The graph reads both.
        self.model, self.tokens = model, tokens
        for _ in range(50):
            self.request()

    def request(self):
        self.graph.replay()
        self.stream.synchronize()

    def loaded(self):
        self.request()
        digest = hashlib.sha256(self.output.cpu().numpy().tobytes()).hexdigest()
        return {"output": digest, "finite": bool(torch.isfinite(self.output).all())}

    def serve(self, seconds, seed):
        """Answers requests that come for so long, one after the other, each as soon as it can."""
        arrivals, at, draw = [], 0.0, random.Random(seed)
        while (at := at + draw.expovariate(RATE)) < seconds:
            arrivals.append(at)
        for _ in range(10):
            self.request()
        gc.collect()
        gc.disable()
        latencies, busy, begun = [], 0.0, time.perf_counter() + 0.01
        end = begun + seconds + GRACE
        for at in arrivals:
            due = begun + at
            if time.perf_counter() > end:
                break
            while (left := due - time.perf_counter()) > 0:
                if left > 0.002:
                    time.sleep(left - 0.001)
            taken = time.perf_counter()
            self.request()
            done = time.perf_counter()
            latencies.append(done - due)
            busy += done - taken
        gc.enable()
        unserved = len(arrivals) - len(latencies)
        served = len(latencies)
        # Those that nobody answered took this long at least.
        latencies += [end - (begun + at) for at in arrivals[served:]]
        ordered = sorted(latencies)
        answer(
            p50_ms=ordered[len(ordered) // 2] * 1e3, p99_ms=ordered[len(ordered) * 99 // 100] * 1e3, max_ms=ordered[-1] * 1e3,
            service_ms=busy / max(1, served) * 1e3, requests=len(arrivals), unserved=unserved,
            latencies_us=[round(latency * 1e6) for latency in latencies],
        )


class Copier:
    """A loop of a kernel that reads 512 MiB and writes as many."""

    def __init__(self, stream):
        self.stream = stream
        self.source = torch.zeros(COPY_BYTES // 4, dtype=torch.float32, device="cuda")
        self.target = torch.empty_like(self.source)
        for _ in range(5):
            self.copy()
        torch.cuda.synchronize()

    def copy(self):
        # An addition and no `copy_`, which might be the copy engine's.
        torch.add(self.source, 1, out=self.target)

    def loaded(self):
        return {"right": bool((self.target == 1).all())}

    def run(self):
        """Copies until there is a line to read."""
        answer(running=True)
        waiting, copies, begun = deque(), 0, time.perf_counter()
        while not told():
            for _ in range(BURST):
                self.copy()
            copies += BURST
            event = torch.cuda.Event()
            event.record(self.stream)
            waiting.append(event)
            if len(waiting) > WAITING:
                waiting.popleft().synchronize()
        self.stream.synchronize()
        seconds = time.perf_counter() - begun
        sys.stdin.readline()
        answer(per_second=copies / seconds, copies=copies, seconds=seconds)


def main():
    # A context, which the driver's functions work in.
    torch.zeros(1, device="cuda")
    torch.cuda.synchronize()
    driver = sides.Driver()
    answer(imported=True, pid=os.getpid())
    context, stream, work = None, None, None
    for line in sys.stdin:
        word, *rest = line.split() or [""]
        if not word:
            break
        if word == "partition":
            context, about = green.confined(driver, options.ptx, options.mask, options.side)
            stream = torch.cuda.ExternalStream(context.stream.value)
            torch.cuda.set_stream(stream)
            answer(**about)
        elif word == "load":
            work = (Server if options.role == "ls" else Copier)(stream)
            answer(**work.loaded(), **memory())
        elif word == "serve":
            work.serve(float(rest[0]), int(rest[1]))
        elif word == "run":
            work.run()


with torch.inference_mode():
    main()
