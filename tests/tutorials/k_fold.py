"""Cross-validation: a writer for each fold, and one for the mean."""

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(42)
dataset = TensorDataset(torch.randn(40, 4), torch.randn(40, 1))
folds = torch.arange(40).chunk(5)
results = {}
for fold, test_ids in enumerate(folds):
    train_ids = [i for i in range(40) if i not in test_ids.tolist()]
    trainloader = DataLoader(Subset(dataset, train_ids), batch_size=8)
    testloader = DataLoader(Subset(dataset, test_ids.tolist()), batch_size=8)
    network = nn.Linear(4, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    writer = SummaryWriter(f"runs/k_fold/fold_{fold}")
    for epoch in range(3):
        total = 0.0
        for inputs, targets in trainloader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(network(inputs), targets)
            loss.backward()
            optimizer.step()
            total += loss.item()
        writer.add_scalar("Loss/train", total / len(trainloader), epoch)
        with torch.no_grad():
            losses = [nn.functional.mse_loss(network(x), y).item() for x, y in testloader]
        writer.add_scalar("Loss/valid", sum(losses) / len(losses), epoch)
    results[fold] = losses[-1]
    writer.close()

with SummaryWriter("runs/k_fold/summary") as writer:
    for fold, value in results.items():
        writer.add_scalar("Loss/by_fold", value, fold)
    writer.add_scalar("Loss/mean", sum(results.values()) / len(results))
