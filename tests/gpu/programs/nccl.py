"""NCCL all-reduce and broadcast by PyTorch: `nccl.py pair` on two GPUs, or `alone` with one process.

NVLink multicast stays off.
"""
import os
import tempfile

import answers

# One of the two is a large message and one a small.
COUNTS = (1 << 10, 8 << 20)


def rank_work(rank, ranks, folder, to_parent, go):
    os.environ.setdefault("NCCL_NVLS_ENABLE", "0")
    os.environ.setdefault("TORCH_SYMM_MEM_DISABLE_MULTICAST", "1")
    os.environ.setdefault("NCCL_SOCKET_IFNAME", "lo")
    torch = answers.torch_in_order()
    import torch.distributed

    torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        "nccl", init_method=f"file://{folder}/meet", rank=rank, world_size=ranks, device_id=torch.device("cuda", rank)
    )
    results = []
    for count in COUNTS:
        for kind in (torch.float32, torch.int32):
            tensor = (torch.arange(count, device="cuda") % 1000 * (rank + 1)).to(kind)
            torch.distributed.all_reduce(tensor)
            right = torch.arange(count, device="cuda") % 1000 * (ranks * (ranks + 1) // 2)
            if not torch.equal(tensor, right.to(kind)):
                raise SystemExit(f"rank {rank}: the sum of {count} numbers is wrong")
            results.append(tensor)
    shared = torch.full((COUNTS[1],), float(rank + 5), device="cuda")
    torch.distributed.broadcast(shared, src=0)
    torch.cuda.synchronize()
    to_parent.put((rank, answers.digest(*results, shared)))
    go.wait(300)
    torch.distributed.destroy_process_group()


def main():
    import torch
    import torch.multiprocessing

    ranks = {"pair": 2, "alone": 1}[answers.word("pair", "alone")]
    if torch.cuda.device_count() < ranks:
        answers.answer(skipped=f"{torch.cuda.device_count()} GPU")
        return
    context = torch.multiprocessing.get_context("spawn")
    to_parent, go = context.Queue(), context.Event()
    with tempfile.TemporaryDirectory() as folder:
        others = [context.Process(target=rank_work, args=(rank, ranks, folder, to_parent, go)) for rank in range(ranks)]
        for other in others:
            other.start()
        try:
            digests = [text for _, text in sorted(answers.receive(to_parent, others, 100) for _ in others)]
            if len(set(digests)) != 1:
                raise SystemExit(f"the ranks have different results: {digests}")
            answers.answer(digest=digests[0], ranks=ranks)
            go.set()
            for other in others:
                other.join(60)
            if any(other.exitcode != 0 for other in others):
                raise SystemExit(f"the ranks ended with {[other.exitcode for other in others]}")
        finally:
            for other in others:
                other.kill()


if __name__ == "__main__":
    main()
