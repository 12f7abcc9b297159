"""PyTorch tenants for copies.py: `loader.py serve SECONDS` answers requests, `loader.py pinned|pageable SECONDS` loads data.

Each prints one line of JSON. The server times every request from the copy of its input to the copy of its output, and says
where the slowest hundredth spent its time, by the device's own events. The job checks what arrived on the device.
"""
import json
import os
import statistics
import sys
import time
from pathlib import Path

import torch

role, seconds = sys.argv[1], float(sys.argv[2])
gate = Path(sys.argv[sys.argv.index("--after") + 1]) if "--after" in sys.argv else None
# Often enough for the GPU not to rest between requests: it would go to a lower clock, and come back when it likes.
PERIOD = 0.002


def ready():
    """Waits for the others, once it has said that it is ready itself."""
    if gate:
        Path(f"{gate}.{os.getpid()}").touch()
        while not gate.exists():
            time.sleep(0.002)


def answer_requests(forward, device, host, answer, stream, seconds):
    """Answers requests for so long; how long they took, and by the device's events what the slowest hundredth did."""
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
    requests, end = [], time.perf_counter() + seconds
    due = time.perf_counter()
    while time.perf_counter() < end:
        while time.perf_counter() < due:
            pass
        begun = time.perf_counter()
        marks[0].record()
        device.copy_(host, non_blocking=True)
        marks[1].record()
        result = forward()
        marks[2].record()
        answer.copy_(result, non_blocking=True)
        marks[3].record()
        stream.synchronize()
        took = (time.perf_counter() - begun) * 1e6
        requests.append((took, *(one.elapsed_time(next) * 1e3 for one, next in zip(marks, marks[1:]))))
        due = max(due + PERIOD, time.perf_counter())
    requests.sort()
    slowest = requests[len(requests) * 99 // 100:]
    parts = {name: [round(statistics.median(request[i] for request in some), 1) for some in (requests, slowest)]
             for i, name in ((1, "input"), (2, "model"), (3, "output"))}
    return {"p50_us": requests[len(requests) // 2][0], "p99_us": slowest[0][0], "max_us": requests[-1][0], "requests": len(requests),
            "us_of_all_and_slowest": parts}


def serve():
    """A model whose kernels Python launches one by one, for half of the time, and then as a graph: in the first case most
    of a request is Python's own time, and varies with it."""
    torch.manual_seed(7)
    layers = []
    for _ in range(6):
        layers += [torch.nn.Linear(4096, 4096, device="cuda", dtype=torch.half), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers).eval()
    host = torch.randn(256, 4096).half().pin_memory()
    answer = torch.empty(256, 4096, dtype=torch.half, pin_memory=True)
    device = host.cuda()
    stream = torch.cuda.Stream()
    with torch.no_grad(), torch.cuda.stream(stream):
        for _ in range(20):
            answer.copy_(model(device), non_blocking=True)
        stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            result = model(device)

        def replay():
            graph.replay()
            return result

        for _ in range(20):
            answer.copy_(replay(), non_blocking=True)
        stream.synchronize()
        ready()
        return {name: answer_requests(forward, device, host, answer, stream, seconds / 2)
                for name, forward in (("eager", lambda: model(device)), ("graph", replay))}


def load():
    torch.manual_seed(11)
    batches = [torch.randint(0, 255, (64 << 20,), dtype=torch.uint8) for _ in range(2)]
    if role == "pinned":
        batches = [batch.pin_memory() for batch in batches]
    device = [torch.empty_like(batch, device="cuda") for batch in batches]
    device[0].copy_(batches[0])
    stream = torch.cuda.Stream()
    ready()
    right, copied, begun = True, 0, time.perf_counter()
    with torch.cuda.stream(stream):
        while time.perf_counter() - begun < seconds:
            which = copied % 2
            device[which].copy_(batches[which], non_blocking=True)
            copied += 1
            if copied % 4 == 0:
                stream.synchronize()
        stream.synchronize()
    elapsed = time.perf_counter() - begun
    # Only now, as a kernel on every SM would hold the server up by itself: what is measured is the copies.
    for batch, there in zip(batches, device):
        right &= torch.equal(there.cpu(), batch)
    return {"gbps": copied * (64 << 20) / elapsed / 1e9, "right": right}


print(json.dumps(serve() if role == "serve" else load()))
