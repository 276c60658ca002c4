"""The "Visualizing models, data, and training with TensorBoard" loop, on small pictures."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(0)
labels = torch.randint(0, 10, (64,))
pictures = torch.rand(64, 1, 12, 12) + labels.view(-1, 1, 1, 1) / 10
trainloader = DataLoader(TensorDataset(pictures, labels), batch_size=4)
testloader = DataLoader(TensorDataset(pictures[:16], labels[:16]), batch_size=4)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.fc1 = nn.Linear(4 * 5 * 5, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.fc1(torch.flatten(x, 1))


net = Net()
criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

# default `log_dir` is "runs" - we'll be more specific here
writer = SummaryWriter("runs/fashion_mnist_experiment_1")

images, targets = next(iter(trainloader))
writer.add_images("four_fashion_mnist_images", images)
writer.add_graph(net, images)

running_loss = 0.0
for epoch in range(2):  # loop over the dataset multiple times
    for i, (inputs, targets) in enumerate(trainloader):
        optimizer.zero_grad()
        loss = criterion(net(inputs), targets)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        if i % 4 == 3:
            writer.add_scalar("training loss", running_loss / 4, epoch * len(trainloader) + i)
            running_loss = 0.0
print("Finished Training")

class_probs, class_label = [], []
with torch.no_grad():
    for inputs, targets in testloader:
        class_probs.append(F.softmax(net(inputs), dim=1))
        class_label.append(targets)
test_probs, test_label = torch.cat(class_probs), torch.cat(class_label)
for class_index in range(10):
    writer.add_pr_curve(
        str(class_index), test_label == class_index, test_probs[:, class_index], global_step=0
    )
accuracy = (test_probs.argmax(1) == test_label).float().mean().item()
writer.add_scalar("test accuracy", accuracy)
writer.close()
