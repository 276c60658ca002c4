"""A learning-rate range test, then the training with what it found."""

import math

import torch
import torch.nn as nn
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(0)
inputs, targets = torch.randn(32, 4), torch.randn(32, 1)


def fit(model, optimizer):
    loss = nn.functional.mse_loss(model(inputs), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def find_lr(writer, low=1e-5, high=1.0, steps=20):
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=low)
    best, best_lr = math.inf, low
    for step in range(steps):
        lr = low * (high / low) ** (step / (steps - 1))
        for group in optimizer.param_groups:
            group["lr"] = lr
        loss = fit(model, optimizer)
        writer.add_scalar("lr_finder/loss", loss, step)
        writer.add_scalar("lr_finder/lr", lr, step)
        # The curve over the learning rate itself, on a scale of a million.
        writer.add_scalar("lr_finder/loss_by_lr", loss, int(lr * 1_000_000))
        if loss < best:
            best, best_lr = loss, lr
    return best_lr


writer = SummaryWriter("runs/lr_finder")
lr = find_lr(writer)
writer.add_text("lr_finder", f"suggested lr: {lr:.1e}")
model = nn.Linear(4, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=lr)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=lr, total_steps=20)
for step in range(20):
    writer.add_scalar("train/loss", fit(model, optimizer), step)
    writer.add_scalar("train/lr", scheduler.get_last_lr()[0], step)
    scheduler.step()
writer.close()
