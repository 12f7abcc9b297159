"""Two processes share tensors on the GPU, in both directions.

The parent sends a large tensor and a small one. The child reads both, changes them in place and sends one of its own.
The parent must see the changes and the child's tensor.
"""
import answers

LARGE, SMALL = 8 << 20, 64 << 10


def expect(torch, tensor, factor, offset, what):
    right = torch.arange(tensor.numel(), dtype=torch.int32, device=tensor.device) * factor + offset
    if not torch.equal(tensor, right):
        wrong = int((tensor != right).sum())
        raise SystemExit(f"{what}: {wrong} of {tensor.numel()} numbers are wrong")


def child(to_child, to_parent):
    torch = answers.torch_in_order()
    large, small = to_child.get(timeout=90)
    seen = answers.digest(large, small)
    for tensor in (large, small):
        tensor.mul_(3).add_(1)
    own = torch.arange(LARGE // 4, dtype=torch.int32, device=answers.DEVICE) * 5
    if answers.DEVICE == "cuda":
        torch.cuda.synchronize()
    to_parent.put((seen, own))
    # What it shares must live until the parent is done.
    to_child.get(timeout=300)
    del large, small, own


def parent():
    torch = answers.torch_in_order()
    import torch.multiprocessing

    context = torch.multiprocessing.get_context("spawn")
    to_child, to_parent = context.Queue(), context.Queue()
    other = context.Process(target=child, args=(to_child, to_parent))
    other.start()
    try:
        large, small = (torch.arange(size // 4, dtype=torch.int32, device=answers.DEVICE) for size in (LARGE, SMALL))
        before = answers.digest(large, small)
        to_child.put((large, small))
        seen, theirs = answers.receive(to_parent, [other], 90)
        if seen != before:
            raise SystemExit("the child saw other contents than the parent wrote")
        expect(torch, large, 3, 1, "the large tensor that the child changed")
        expect(torch, small, 3, 1, "the small tensor that the child changed")
        expect(torch, theirs, 5, 0, "the child's tensor")
        answers.answer(digest=answers.digest(large, small, theirs), child=other.pid)
        del theirs
        to_child.put(None)
        other.join(60)
        if other.exitcode != 0:
            raise SystemExit(f"the child ended with {other.exitcode}")
    finally:
        other.kill()


if __name__ == "__main__":
    parent()
