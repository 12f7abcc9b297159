"""What the programs share: a fixed order of arithmetic, a digest of results, and the answer.

Every program prints one line of JSON last. With `--hold` it then waits for a line of input, so that `missile top` can
be read while it lives; with `--linger SECONDS` it waits that long. Both may stand anywhere among the arguments.
"""
import hashlib
import json
import os
import sys
import time
from queue import Empty

# Another device than the GPU rehearses a program on a machine that has none.
DEVICE = os.environ.get("PROGRAM_DEVICE", "cuda")


def torch_in_order():
    """PyTorch, such that two runs on one GPU give the same bits."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(7)
    return torch


def random(torch, *shape, seed=11):
    """Random numbers, made on the CPU and so the same everywhere."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bytes_of(value):
    if hasattr(value, "detach"):  # a tensor
        import torch

        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise SystemExit("a result is not finite")
        return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return value.tobytes()


def digest(*values):
    """SHA-256 over the bytes of tensors or NumPy arrays."""
    sha = hashlib.sha256()
    for value in values:
        sha.update(bytes_of(value))
    return sha.hexdigest()


def answer(**fields):
    """Prints the answer and waits as the arguments say."""
    print(json.dumps({**fields, "pid": os.getpid()}), flush=True)
    if "--linger" in sys.argv:
        time.sleep(float(sys.argv[sys.argv.index("--linger") + 1]))
    if "--hold" in sys.argv:
        sys.stdin.readline()


def receive(queue, senders, seconds):
    """The next thing from a queue, as long as the processes that fill it live."""
    limit = time.monotonic() + seconds
    while True:
        try:
            return queue.get(timeout=1)
        except Empty:
            dead = [sender.exitcode for sender in senders if not sender.is_alive()]
            if dead or time.monotonic() > limit:
                why = f"it ended with {dead[0]}" if dead else "time is up"
                raise SystemExit(f"no word from the other process: {why}") from None


def word(*choices):
    """The one argument that is among the choices."""
    for choice in sys.argv[1:]:
        if choice in choices:
            return choice
    raise SystemExit(f"name one of {', '.join(choices)}")
