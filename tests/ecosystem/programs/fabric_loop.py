"""Lightning Fabric's logger and a loop by hand."""

import torch
from lightning_fabric import Fabric
from lightning_fabric.loggers import TensorBoardLogger

fabric = Fabric(accelerator="cpu", loggers=TensorBoardLogger("fabric_logs", name="loop"))
fabric.seed_everything(0, verbose=False)
model = torch.nn.Linear(4, 1)
model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.1))
for step in range(10):
    loss = model(torch.ones(2, 4)).square().mean()
    fabric.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    fabric.log("train/loss", loss, step=step)
    if step % 5 == 4:
        fabric.log_dict({"val/loss": loss * 2, "val/acc": 0.5}, step=step)
# Stock torch loses its last events at the end of the program, now and then.
fabric.logger.finalize("success")
