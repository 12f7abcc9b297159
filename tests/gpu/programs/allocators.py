"""PyTorch's other allocators: `allocators.py expandable` (expandable segments) or `async` (cudaMallocAsync).

Tensors of many sizes come and go, so that segments grow, are reused and are given back.
"""
import os

import answers

KIND = answers.word("expandable", "async")
SETTING = {"expandable": "expandable_segments:True", "async": "backend:cudaMallocAsync"}[KIND]
# The old name and the new one; PyTorch warns of the old.
os.environ["PYTORCH_ALLOC_CONF"] = os.environ["PYTORCH_CUDA_ALLOC_CONF"] = SETTING
torch = answers.torch_in_order()

MIB = 1 << 20
kept = []
for turn in range(3):
    new = [torch.arange(size * MIB // 4, dtype=torch.int32, device="cuda") + turn for size in (1, 3, 7, 16, 40)]
    kept = kept[1::2] + new
    torch.cuda.synchronize()
    if turn == 1:
        torch.cuda.empty_cache()
side = torch.cuda.Stream()
side.wait_stream(torch.cuda.current_stream())
with torch.cuda.stream(side):
    a = answers.random(torch, 1024, 1024).pin_memory().cuda(non_blocking=True)
    for _ in range(4):
        a = torch.nn.functional.normalize(a @ a)
torch.cuda.current_stream().wait_stream(side)

for tensor in kept:
    first = int(tensor[0])
    if not torch.equal(tensor, torch.arange(tensor.numel(), dtype=torch.int32, device="cuda") + first):
        raise SystemExit("a tensor has other contents than were written")
if KIND == "expandable" and not any(segment["is_expandable"] for segment in torch.cuda.memory_snapshot()):
    raise SystemExit("no segment is expandable")
if KIND == "async" and torch.cuda.get_allocator_backend() != "cudaMallocAsync":
    raise SystemExit(f"the allocator is {torch.cuda.get_allocator_backend()}")
answers.answer(digest=answers.digest(a, *kept), setting=SETTING)
