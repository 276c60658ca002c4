"""Transfer learning with a loop over the phases, the validation first."""

import copy

import torch
import torch.nn as nn
from torch.optim import lr_scheduler
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(0)
features = {phase: torch.randn(32, 8) for phase in ("val", "train")}
labels = {phase: (features[phase].sum(1) > 0).long() for phase in features}
backbone = nn.Linear(8, 8).requires_grad_(False)
model = nn.Sequential(backbone, nn.ReLU(), nn.Linear(8, 2))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1, momentum=0.9)
scheduler = lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.1)

writer = SummaryWriter(comment="_finetune")
best_acc = 0.0
for epoch in range(5):
    # What the weights are worth is measured before they are trained further.
    for phase in ["val", "train"]:
        model.train(phase == "train")
        with torch.set_grad_enabled(phase == "train"):
            outputs = model(features[phase])
            loss = criterion(outputs, labels[phase])
            if phase == "train":
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
        acc = (outputs.argmax(1) == labels[phase]).float().mean().item()
        writer.add_scalar(f"Loss/{phase}", loss.item(), epoch)
        writer.add_scalar(f"Accuracy/{phase}", acc, epoch)
        if phase == "val" and acc > best_acc:
            best_acc = acc
            best = copy.deepcopy(model.state_dict())
    writer.add_scalar("Learning rate", scheduler.get_last_lr()[0], epoch)
writer.add_hparams({"lr": 0.1, "step_size": 3}, {"hparam/best_acc": best_acc})
writer.close()
