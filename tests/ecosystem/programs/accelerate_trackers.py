"""accelerate: a loop by hand that logs to its trackers."""

import sys

import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, TensorBoardTracker, on_main_process
from accelerate.utils import ProjectConfiguration, set_seed


class Memory(GeneralTracker):
    """A second tracker beside TensorBoard's."""

    name = "memory"
    requires_logging_directory = False

    @on_main_process
    def __init__(self):
        super().__init__()
        self.logged = []

    @property
    def tracker(self):
        return self.logged

    def store_init_configuration(self, values):
        self.logged.append(values)

    def log(self, values, step=None, **kwargs):
        self.logged.append((step, values))


def train(accelerator, lr=0.1):
    set_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    model, optimizer = accelerator.prepare(model, optimizer)
    for step in range(6):
        loss = model(torch.ones(2, 4)).square().mean()
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        accelerator.log({"train_loss": loss.item(), "lr": lr}, step=step)
        if step % 3 == 2:
            accelerator.log({"eval_loss": 2 * loss.item()}, step=step)
            accelerator.log({"losses": {"a": loss.item(), "b": 1.0}}, step=step)


def project(*trackers):
    config = ProjectConfiguration(project_dir="out", logging_dir="out/logs")
    return Accelerator(cpu=True, log_with=list(trackers), project_config=config)


def two_trackers():
    accelerator = project("tensorboard", Memory())
    accelerator.init_trackers("example", config={"lr": 0.1, "model": "linear"})
    train(accelerator)
    accelerator.end_training()


def two_tensorboards():
    """Two trackers, each with a directory of its own."""
    trackers = [TensorBoardTracker(name, "out/logs") for name in ("first", "second")]
    accelerator = Accelerator(cpu=True, log_with=trackers)
    accelerator.init_trackers("ignored", config={"lr": 0.1})
    train(accelerator)
    accelerator.end_training()


def sweep():
    """Each round begins with its hyperparameters, on one directory."""
    for lr in (0.1, 0.2, 0.3):
        accelerator = project("tensorboard")
        accelerator.init_trackers("example", config={"lr": lr})
        train(accelerator, lr)
        accelerator.end_training()


globals()[sys.argv[1]]()
