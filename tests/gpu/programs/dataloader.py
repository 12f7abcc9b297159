"""A DataLoader with two worker processes, `fork` or `spawn`, pinned memory and copies that do not block.

The GPU is in use before the workers start, which is the harder order for `fork`.
"""
import answers

WORKERS = 2


def train():
    torch = answers.torch_in_order()
    from torch.utils.data import DataLoader

    on_gpu = torch.ones(1 << 20, device=answers.DEVICE)
    loader = DataLoader(
        Pictures(), batch_size=16, num_workers=WORKERS, pin_memory=answers.DEVICE == "cuda", persistent_workers=True,
        multiprocessing_context=answers.word("fork", "spawn"),
    )
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 32, 3, stride=2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(32 * 63 * 63, 10)
    ).to(answers.DEVICE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    losses = []
    for _ in range(2):
        for images, labels in loader:
            images, labels = (x.to(answers.DEVICE, non_blocking=True) for x in (images, labels))
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    if float(on_gpu.sum()) != 1 << 20:
        raise SystemExit("memory from before the workers has changed")
    answers.answer(digest=answers.digest(*losses, *model.state_dict().values()), batches=len(losses))
    # The workers have lived until here.
    del loader


class Pictures:
    """Random pictures, each from its own seed."""

    def __len__(self):
        return 128

    def __getitem__(self, index):
        import torch

        return answers.random(torch, 3, 128, 128, seed=index), index % 10


if __name__ == "__main__":
    train()
