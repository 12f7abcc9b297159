"""The latency-sensitive tenant of colocate.py: `colocate_ls.py LOAD,LOAD`.

A load is MODEL-HOW or MODEL-HOW-io: bert (BERT-base, batch 8 of 128 tokens), resnet50 (batch 8), resnet50x1 (batch 1) or
decode (one token of a language model for each of four, with the keys and values of 512 before), all in fp16 with
random weights; graph (a CUDA graph) or eager. With io a request copies its input (1 MiB for bert) from pinned memory to the
device first, and its output to pinned memory last.

Says {"at": "imported"} once PyTorch is imported, and uses no GPU before it is asked to. Orders, one a line:

    {"do": "load"}                                                       prepares all loads
    {"do": "window", "load": L, "rate": R, "seconds": S, "seed": N}      answers requests that come by Poisson

A window is answered twice: {"at": "begun"} after a few requests that do not count, and the figures at its end. `service`
is the time from the launch of a request to its end, `arrival` that from when it came; both in ms. Requests that could not
begin until half a window after its end are `unserved`. `ends` are their ends in seconds of the window. `busy` is the part of the time in which a request was served.
"""
import gc
import random
import sys
import time

import torch

from colocate_ls_figures import quantile
from lines import orders, say

WARM_UP = 5
# Requests before a window, and for how many seconds at most.
LEAD, LEAD_SECONDS = 8, 0.1
BATCH, TOKENS = 8, 128
INPUT_BYTES = 1 << 20
# A window of a server that cannot keep up ends after so many times its length.
LONGEST = 1.5


class Bert:
    """BERT-base and its input, which is the beginning of a buffer."""

    def __init__(self):
        from transformers import BertConfig, BertModel

        self.model = BertModel(BertConfig(attn_implementation="sdpa")).half().cuda().eval()
        # Tokens have 8 bytes.
        self.host = torch.zeros(INPUT_BYTES // 8, dtype=torch.int64)
        self.host[: BATCH * TOKENS] = torch.randint(0, 30000, (BATCH * TOKENS,))
        self.host = self.host.pin_memory()
        self.input = self.host.cuda()
        self.tokens = self.input[: BATCH * TOKENS].view(BATCH, TOKENS)
        self.mask = torch.ones_like(self.tokens)

    def forward(self):
        return self.model(self.tokens, attention_mask=self.mask).last_hidden_state


class ResNet50:
    """ResNet-50 and its input."""

    def __init__(self, batch=BATCH):
        import torchvision

        model = torchvision.models.resnet50(weights=None)
        self.model = model.half().cuda().eval().to(memory_format=torch.channels_last)
        images = torch.randn(batch, 3, 224, 224).half()
        self.host = images.to(memory_format=torch.channels_last).pin_memory()
        self.input = self.host.cuda()

    def forward(self):
        return self.model(self.input)


class Decoder:
    """A step of a language model: one token for each of a batch, with keys and values of those before in a cache."""

    LAYERS, WIDTH, HEADS, BATCH, BEFORE, WORDS = 12, 2048, 16, 4, 512, 32000

    def __init__(self):
        def weight(rows, columns):
            return torch.randn(rows, columns, device="cuda", dtype=torch.half) * 0.02

        width, cache = self.WIDTH, (2, self.BATCH, self.HEADS, self.BEFORE, self.WIDTH // self.HEADS)
        self.layers = [
            (weight(3 * width, width), weight(width, width), weight(4 * width, width), weight(width, 4 * width))
            for _ in range(self.LAYERS)
        ]
        self.caches = [torch.randn(cache, device="cuda", dtype=torch.half) for _ in range(self.LAYERS)]
        self.words = weight(self.WORDS, width)
        self.host = torch.randint(0, self.WORDS, (self.BATCH,)).pin_memory()
        self.input = self.host.cuda()

    def forward(self):
        F, batch, width = torch.nn.functional, self.BATCH, self.WIDTH
        state = self.words[self.input]
        for (entering, leaving, up, down), cache in zip(self.layers, self.caches):
            query, *fresh = F.linear(F.layer_norm(state, (width,)), entering).view(batch, 3, self.HEADS, 1, -1).unbind(1)
            for kept, new in zip(cache, fresh):
                kept[:, :, -1:].copy_(new)
            seen = F.scaled_dot_product_attention(query, cache[0], cache[1])
            state = state + F.linear(seen.reshape(batch, width), leaving)
            state = state + F.linear(F.gelu(F.linear(F.layer_norm(state, (width,)), up)), down)
        return F.linear(F.layer_norm(state, (width,)), self.words).argmax(-1)


MODELS = {"bert": Bert, "resnet50": ResNet50, "resnet50x1": lambda: ResNet50(1), "decode": Decoder}


class Load:
    """One way to run a model. `request` launches what one request takes."""

    def __init__(self, model, how, copies):
        self.model, self.copies = model, copies
        self.graph = captured(model) if how == "graph" else None
        self.output = self.graph[1] if self.graph else model.forward()
        self.answer = torch.empty_like(self.output, device="cpu").pin_memory()

    def request(self):
        if self.copies:
            self.model.input.copy_(self.model.host, non_blocking=True)
        if self.graph:
            self.graph[0].replay()
        else:
            self.output = self.model.forward()
        if self.copies:
            self.answer.copy_(self.output, non_blocking=True)


def captured(model):
    """A CUDA graph of the model, and the output that it writes."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            model.forward()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = model.forward()
    return graph, output


def prepared(names):
    """The loads of these names; those of one model share it."""
    torch.manual_seed(7)
    models, loads = {}, {}
    for name in names:
        model, how, *io = name.split("-")
        if model not in models:
            models[model] = MODELS[model]()
        loads[name] = Load(models[model], how, io == ["io"])
        for _ in range(WARM_UP):
            loads[name].request()
    torch.cuda.synchronize()
    return loads


def window(load, rate, seconds, seed):
    """Answers requests for so long. Equal seeds give equal times of arrival."""
    arrivals, stream, now = random.Random(seed), torch.cuda.current_stream(), time.perf_counter
    before = now()
    for _ in range(LEAD):
        if now() - before < LEAD_SECONDS:
            load.request()
            stream.synchronize()
    say(at="begun")
    begun = due = now()
    service, arrival, ends, unserved = [], [], [], 0
    while True:
        due += arrivals.expovariate(rate)
        if due > begun + seconds:
            break
        if now() > begun + seconds * LONGEST:
            unserved += 1
            continue
        while now() < due:
            pass
        start = now()
        load.request()
        stream.synchronize()
        end = now()
        service.append((end - start) * 1e3)
        arrival.append((end - due) * 1e3)
        ends.append(end - begun)
    while now() < begun + seconds:
        pass
    took = now() - begun
    return {
        "n": len(service), "unserved": unserved, "seconds": took, "busy": sum(service) / 1e3 / took,
        "service_p50": quantile(service, 0.5), "service_p99": quantile(service, 0.99),
        "arrival_p50": quantile(arrival, 0.5), "arrival_p99": quantile(arrival, 0.99),
        "service": [round(value, 4) for value in service], "arrival": [round(value, 4) for value in arrival],
        "ends": [round(value, 4) for value in ends],
    }


def main():
    names = sys.argv[1].split(",")
    loads = {}
    say(at="imported")
    with torch.inference_mode():
        for what, fields in orders():
            if what == "load":
                loads = prepared(names)
                gc.collect()
                gc.freeze()
                gc.disable()
                say(at="loaded")
            elif what == "window":
                load = loads[fields.pop("load")]
                say(**window(load, **fields))
            else:
                say(error=f"there is no order {what}")


if __name__ == "__main__":
    main()
