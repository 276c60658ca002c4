"""A language model that logs its arguments, its samples and its log lines as text."""

import argparse
import json
import logging
import math

import torch
from torch.utils.tensorboard import SummaryWriter


class TensorBoardHandler(logging.Handler):
    def __init__(self, writer):
        super().__init__()
        self.writer, self.lines = writer, 0

    def emit(self, record):
        self.writer.add_text("log", self.format(record), self.lines)
        self.lines += 1


parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=3)
args = parser.parse_args()

writer = SummaryWriter(log_dir="runs/language_model")
writer.add_text("args", json.dumps(vars(args), indent=2))
log = logging.getLogger("training")
log.setLevel(logging.INFO)
log.addHandler(TensorBoardHandler(writer))

torch.manual_seed(0)
step, table = 0, torch.zeros(26, 26)
for epoch in range(1, args.epochs + 1):
    for _ in range(10):
        pair = torch.randint(0, 26, (2,))
        table[pair[0], pair[1]] += args.lr
        step += 1
        writer.add_scalar("train/loss", math.exp(-step / 10), step)
    val_loss = math.exp(-step / 11)
    writer.add_scalar("val/loss", val_loss, step)
    writer.add_scalar("val/perplexity", math.exp(val_loss), step)
    letters = "".join(chr(97 + int(row.argmax())) for row in table[:12])
    writer.add_text("sample", f"epoch {epoch}: `{letters}`", step)
    log.info("epoch %d: val_loss=%.3f", epoch, val_loss)
log.info("done")
writer.close()
