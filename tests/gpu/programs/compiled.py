"""torch.compile with Triton, forward and backward, and a Triton kernel written by hand."""
import answers

torch = answers.torch_in_order()
import triton
import triton.language as tl
from torch._inductor import metrics


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.LayerNorm(512)
        self.wide, self.narrow = torch.nn.Linear(512, 2048), torch.nn.Linear(2048, 512)

    def forward(self, x):
        y = self.narrow(torch.nn.functional.gelu(self.wide(self.norm(x))))
        return torch.softmax(x + y, dim=-1)


@triton.jit
def square_plus_one(source, result, count, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < count
    value = tl.load(source + places, mask=inside)
    tl.store(result + places, value * value + 1, mask=inside)


def by_hand(x):
    """x * x + 1 by a Triton kernel."""
    result = torch.empty_like(x)
    square_plus_one[(triton.cdiv(x.numel(), 1024),)](x, result, x.numel(), BLOCK=1024)
    return result


if __name__ == "__main__":
    model = Block().to(answers.DEVICE)
    compiled = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for seed in (1, 2):
        x = answers.random(torch, 2048, 512, seed=seed).to(answers.DEVICE)
        optimizer.zero_grad()
        loss = compiled(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss)
    hand = by_hand(x) if answers.DEVICE == "cuda" else x
    if answers.DEVICE == "cuda" and not torch.allclose(hand, x * x + 1):
        raise SystemExit("the kernel by hand is wrong")
    answers.answer(
        digest=answers.digest(*losses, hand, *model.state_dict().values()), kernels=metrics.generated_kernel_count
    )
