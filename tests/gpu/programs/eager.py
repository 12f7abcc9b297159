"""PyTorch eager: one training step of ResNet-50."""
import answers

torch = answers.torch_in_order()
import torchvision

model = torchvision.models.resnet50(weights=None).to(answers.DEVICE).train()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
images = answers.random(torch, 4, 3, 224, 224).to(answers.DEVICE)
labels = torch.arange(4, device=answers.DEVICE)
loss = torch.nn.functional.cross_entropy(model(images), labels)
loss.backward()
optimizer.step()
answers.answer(digest=answers.digest(loss, *model.state_dict().values()), loss=loss.item())
