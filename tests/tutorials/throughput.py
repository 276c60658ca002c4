"""The profiler tutorial's loop, timed by hand instead."""

import time

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(0)
train_loader = DataLoader(TensorDataset(torch.randn(80, 8), torch.randn(80, 1)), batch_size=8)
model = nn.Linear(8, 1)
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)


def train(data):
    inputs, labels = data
    loss = criterion(model(inputs), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


with SummaryWriter("./log/resnet18") as writer:
    begin = time.perf_counter()
    for step, batch_data in enumerate(train_loader):
        if step >= 1 + 1 + 3:
            break
        loss = train(batch_data)
        now = time.perf_counter()
        writer.add_scalar("perf/seconds_per_step", now - begin, step)
        writer.add_scalar("loss", loss, step)
        begin = now
        writer.flush()
