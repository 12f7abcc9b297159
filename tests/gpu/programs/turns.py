"""One network whose inference is timed block by block: `turns.py resnet50-1`, `resnet50-32` or `bert-8`.

It answers when it is ready. For each line of input, a number, it runs so many inferences and answers how long they took
on the host's clock, the final synchronization included. It ends with its input or at an empty line. `--core N` keeps the thread that
launches on that core, so that programs that take turns share it.
"""
import gc
import os
import sys
import time

import answers

WORK = answers.word("resnet50-1", "resnet50-32", "bert-8")
# Untimed, before each block: the caches and the GPU's clocks have been another program's.
LEAD = 4

import torch

torch.manual_seed(7)


def network():
    """The network and its input, in half precision."""
    if WORK == "bert-8":
        from transformers import BertConfig, BertModel

        tokens = torch.randint(0, 30000, (8, 128), generator=torch.Generator().manual_seed(11))
        return BertModel(BertConfig()), tokens.to(answers.DEVICE)
    import torchvision

    images = answers.random(torch, int(WORK.split("-")[1]), 3, 224, 224)
    return torchvision.models.resnet50(weights=None), images.to(answers.DEVICE).half()


def wait():
    if answers.DEVICE == "cuda":
        torch.cuda.synchronize()


with torch.inference_mode():
    model, given = network()
    model = model.half().to(answers.DEVICE).eval()
    for _ in range(20):
        output = model(given)
    wait()
    output = output if torch.is_tensor(output) else output.last_hidden_state
    if "--core" in sys.argv:
        # This thread alone: the others have been started.
        os.sched_setaffinity(0, {int(sys.argv[sys.argv.index("--core") + 1])})
    gc.collect()
    gc.freeze()
    gc.disable()
    answers.answer(digest=answers.digest(output))
    del output
    for line in sys.stdin:
        if not line.strip():
            break
        for _ in range(LEAD):
            model(given)
        wait()
        begun = time.perf_counter()
        for _ in range(int(line)):
            model(given)
        wait()
        answers.answer(seconds=time.perf_counter() - begun)
