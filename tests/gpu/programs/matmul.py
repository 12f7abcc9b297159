"""A small PyTorch program for tools to look at. With `--profile` PyTorch's profiler (CUPTI) names its kernels."""
import sys

import answers

torch = answers.torch_in_order()


def work():
    a = answers.random(torch, 512, 512).to(answers.DEVICE)
    for _ in range(3):
        a = torch.relu(a @ a) / 100
    return a + 1


kernels = None
if "--profile" in sys.argv:
    from torch.profiler import ProfilerActivity, profile

    work()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA], acc_events=True) as seen:
        result = work()
        if answers.DEVICE == "cuda":
            torch.cuda.synchronize()
    kernels = sorted(
        event.name
        for event in seen.events()
        if str(event.device_type).endswith("CUDA") and not event.name.startswith(("Memcpy", "Memset"))
    )
else:
    result = work()
answers.answer(digest=answers.digest(result), kernels=kernels)
