"""CUDA graphs in PyTorch: a training step is captured once and replayed on new data."""
import answers

torch = answers.torch_in_order()

model = torch.nn.Sequential(torch.nn.Linear(1024, 2048), torch.nn.GELU(), torch.nn.Linear(2048, 256)).cuda()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
data = answers.random(torch, 8, 1024, 1024).pin_memory()
target = answers.random(torch, 1024, 256, seed=12).cuda()
given = data[0].cuda()


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = torch.nn.functional.mse_loss(model(given), target)
    loss.backward()
    optimizer.step()
    return loss


side = torch.cuda.Stream()
side.wait_stream(torch.cuda.current_stream())
with torch.cuda.stream(side):
    for _ in range(3):
        step()
torch.cuda.current_stream().wait_stream(side)

optimizer.zero_grad(set_to_none=True)
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    captured = step()
losses = []
for batch in data:
    given.copy_(batch, non_blocking=True)
    graph.replay()
    losses.append(captured.clone())
torch.cuda.synchronize()
answers.answer(digest=answers.digest(*losses, *model.state_dict().values()), losses=[loss.item() for loss in losses])
