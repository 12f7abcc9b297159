"""A best-effort tenant of colocate.py and copies.py: `colocate_be.py KIND[,KIND]`. It repeats one step, some of them in
flight; of several kinds the first until told otherwise.

    copy         a kernel that copies: torch.neg of 256 MiB
    gemm4096     a product of two matrices of that size in fp16; gemm16384 the same with long kernels
    decode       products of one vector with 512 MiB of fp16 weights, as a language model makes for one token
    train        a training step of ResNet-152, batch 32 in bf16, in a CUDA graph
    graphs       a CUDA graph of 16 products of two matrices of 2048 in fp16
    pinned       a copy of 64 MiB from pinned memory to the device; pageable from pageable memory; to-host the other way

Says {"at": "imported"} once PyTorch is imported, and uses no GPU before it is asked to. Orders, one a line:

    {"do": "load"}               prepares the step
    {"do": "go", "depth": N}     repeats it with N steps in flight; answered once a step is done, or after a second
    {"do": "mark"}               begins a window
    {"do": "read"}               ends it: {"steps": N, "seconds": S, "rate": steps a second}
    {"do": "rest"}               stops, and answers when the GPU has no work of this process
    {"do": "check"}              {"right": whether the copies arrived}
    {"do": "kernels"}            {"longest_us": the longest operation of a step}, at rest; `null` where that is not known
    {"do": "change", "kind": K}  has the step of that kind instead, while it runs
"""
import os
import sys
import threading
import time
import traceback
from collections import deque

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lines import orders, say

MIB = 1 << 20
COPY_BYTES, BATCH_BYTES = 256 * MIB, 64 * MIB
# From so many steps on, counting them is exact enough; fewer are timed by the device's events.
ENOUGH = 50
TRAIN_BATCH, TRAIN_WARM_UP = 32, 4
GRAPH_PRODUCTS, GRAPH_SIZE = 16, 2048
# A kernel of so many cycles goes before a step whose operations are timed, for the host to be far ahead of the GPU.
AHEAD_CYCLES = 600_000_000


def copy_kernel():
    source = torch.randn(COPY_BYTES // 4, device="cuda")
    target = torch.empty_like(source)
    return lambda: torch.neg(source, out=target)


def gemm(size):
    one, other = (torch.randn(size, size, device="cuda", dtype=torch.half) for _ in range(2))
    target = torch.empty_like(one)
    return lambda: torch.mm(one, other, out=target)


def decode():
    wide, narrow, layers = 8192, 4096, 8
    shapes = [(wide, narrow) if index % 2 == 0 else (narrow, wide) for index in range(layers)]
    weights = [torch.randn(*shape, device="cuda", dtype=torch.half) * 0.01 for shape in shapes]
    vectors = [torch.randn(narrow, device="cuda", dtype=torch.half)]
    vectors += [torch.empty(rows, device="cuda", dtype=torch.half) for rows, _ in shapes]

    def step():
        for index, weight in enumerate(weights):
            torch.mv(weight, vectors[index], out=vectors[index + 1])

    return step


def train():
    import torchvision

    with torch.inference_mode(False), torch.enable_grad():
        model = torchvision.models.resnet152(weights=None).to(torch.bfloat16).cuda()
        model = model.to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
        images = torch.randn(TRAIN_BATCH, 3, 224, 224, device="cuda", dtype=torch.bfloat16)
        images = images.to(memory_format=torch.channels_last)
        labels = torch.randint(0, 1000, (TRAIN_BATCH,), device="cuda")

        def step():
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()

        # In a graph, so that the GPU and not the host decides how fast it is, and many steps can be in flight.
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(TRAIN_WARM_UP):
                step()
        torch.cuda.synchronize()
        optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()

    def replay():
        graph.replay()

    # What the graph works on has to stay.
    replay.holds = (model, optimizer, images, labels)

    def eager():
        with torch.inference_mode(False), torch.enable_grad():
            step()

    replay.eager = eager
    return replay


def graphs():
    one, other = (torch.randn(GRAPH_SIZE, GRAPH_SIZE, device="cuda", dtype=torch.half) for _ in range(2))
    targets = [torch.empty_like(one) for _ in range(GRAPH_PRODUCTS)]

    def products():
        for target in targets:
            torch.mm(one, other, out=target)

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        products()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        products()

    def replay():
        graph.replay()

    replay.holds, replay.eager = (one, other), products
    return replay


class Timed(TorchDispatchMode):
    """Keeps events before and after each operation that is dispatched."""

    def __init__(self):
        super().__init__()
        self.events = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        result = operation(*args, **(kwargs or {}))
        after.record()
        self.events.append((before, after))
        return result


def longest_us(step):
    """The longest operation of a step, which is one kernel or few. No tracing library is attached for it."""
    times = []
    for _ in range(2):
        torch.cuda.synchronize()
        with Timed() as timed:
            torch.cuda._sleep(AHEAD_CYCLES)
            getattr(step, "eager", step)()
        torch.cuda.synchronize()
        times.append(max(before.elapsed_time(after) for before, after in timed.events) * 1e3)
    return min(times)


def copies(kind):
    """Copies of two batches by turns."""
    host = [torch.randint(0, 255, (BATCH_BYTES,), dtype=torch.uint8) for _ in range(2)]
    if kind != "pageable":
        host = [batch.pin_memory() for batch in host]
    device = [batch.cuda() for batch in host]
    sent = [batch.clone() for batch in host]
    sources, targets = (device, host) if kind == "to-host" else (host, device)
    # What was there before must not count as arrived.
    for target in targets:
        target.zero_()
    turn = 0

    def step():
        nonlocal turn
        targets[turn % 2].copy_(sources[turn % 2], non_blocking=True)
        turn += 1

    step.right = lambda: all(torch.equal(target.cpu(), batch) for target, batch in zip(targets, sent))
    return step


KINDS = {
    "copy": copy_kernel,
    "gemm4096": lambda: gemm(4096),
    "gemm16384": lambda: gemm(16384),
    "decode": decode,
    "train": train,
    "graphs": graphs,
    "pinned": lambda: copies("pinned"),
    "pageable": lambda: copies("pageable"),
    "to-host": lambda: copies("to-host"),
}


class Loop(threading.Thread):
    """Repeats a step with `depth` of them in flight, and rests where that is 0."""

    def __init__(self, step):
        super().__init__(daemon=True)
        self.step, self.depth, self.resting = step, 0, False
        self.changed = threading.Condition()
        # How many steps are done, and the event behind the last of them. Only this thread writes it.
        self.done = (0, None)
        self.flying = deque()
        self.mark = None

    def run(self):
        try:
            with torch.inference_mode():
                while True:
                    self.turn()
        except BaseException:  # nobody joins this thread
            traceback.print_exc()
            os._exit(1)

    def turn(self):
        if self.depth == 0:
            self.retire_to(0)
            with self.changed:
                while self.depth == 0:
                    self.resting = True
                    self.changed.notify_all()
                    self.changed.wait()
                self.resting = False
            return
        self.retire_to(self.depth - 1)
        self.step()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.flying.append(event)

    def retire_to(self, number):
        """Waits until no more than this many steps are in flight."""
        while len(self.flying) > number:
            event = self.flying.popleft()
            event.synchronize()
            self.done = (self.done[0] + 1, event)

    def go(self, depth):
        before = self.done[0]
        with self.changed:
            self.depth = depth
            self.changed.notify_all()
        limit = time.monotonic() + 1
        while self.done[0] == before and time.monotonic() < limit:
            time.sleep(0.0005)

    def rest(self):
        with self.changed:
            self.depth = 0
            while not self.resting:
                self.changed.wait()

    def begin(self):
        self.mark = (*self.done, time.monotonic())

    def read(self):
        """Steps since the mark, and how many a second."""
        steps_before, first, begun = self.mark
        steps_now, last = self.done
        steps, seconds = steps_now - steps_before, time.monotonic() - begun
        if steps and steps < ENOUGH and first is not None:
            return {"steps": steps, "seconds": seconds, "rate": steps / (first.elapsed_time(last) / 1e3)}
        return {"steps": steps, "seconds": seconds, "rate": steps / seconds}


def obey(loop, steps, what, fields):
    """The answer to an order for a running loop."""
    if what == "go":
        loop.go(fields["depth"])
        return {"at": "going"}
    if what == "mark":
        loop.begin()
        return {"at": "marked"}
    if what == "read":
        return loop.read()
    if what == "rest":
        loop.rest()
        return {"at": "rest"}
    if what == "check":
        return {"right": loop.step.right()}
    if what == "kernels":
        try:
            return {"longest_us": longest_us(loop.step)}
        except Exception as reason:  # the figure is not worth the job
            return {"longest_us": None, "why": str(reason)[:300]}
    if what == "change":
        # Steps of the kind before may be in flight, and are counted with those of this one.
        loop.step = steps[fields["kind"]]
        return {"at": fields["kind"]}
    return {"error": f"there is no order {what}"}


def main():
    kinds, loop, steps = sys.argv[1].split(","), None, {}
    say(at="imported")
    with torch.inference_mode():
        for what, fields in orders():
            if what == "load":
                torch.cuda.init()
                torch.manual_seed(11)
                for kind in kinds:
                    steps[kind] = KINDS[kind]()
                    steps[kind]()
                torch.cuda.synchronize()
                loop = Loop(steps[kinds[0]])
                loop.start()
                say(at="loaded")
            else:
                say(**obey(loop, steps, what, fields))
        if loop:
            loop.rest()


if __name__ == "__main__":
    main()
