"""detectron2's pattern: the writer is made first, then a checkpoint takes the steps back."""

import os
import sys

import torch
from torch.utils.tensorboard import SummaryWriter


class TensorboardXWriter:
    """Made by the trainer's hooks, before the checkpoint is loaded; it writes what is new."""

    def __init__(self, log_dir):
        self.writer = SummaryWriter(log_dir)
        self.last_write = -1

    def write(self, storage, step):
        for name, value in storage.items():
            self.writer.add_scalar(name, value, step)
        self.last_write = step


class Trainer:
    def __init__(self, output="output"):
        self.output, self.start = output, 0
        os.makedirs(output, exist_ok=True)
        self.weight = torch.tensor(1.0)
        self.writer = TensorboardXWriter(output)

    def resume(self):
        saved = torch.load(os.path.join(self.output, "model.pth"))
        self.weight, self.start = saved["weight"], saved["step"] + 1

    def train(self, last):
        for step in range(self.start, last):
            self.weight = self.weight * 0.9
            self.writer.write({"total_loss": self.weight.item(), "lr": 0.1}, step)
            if step % 5 == 4:
                torch.save(
                    {"weight": self.weight, "step": step}, os.path.join(self.output, "model.pth")
                )
        self.writer.writer.close()


def first_process():
    """It ends at step 7, and the checkpoint is of step 4."""
    Trainer().train(8)


def second_process():
    trainer = Trainer()
    trainer.resume()
    trainer.train(12)


def in_one_process():
    first_process()
    second_process()


globals()[sys.argv[1]]()
