"""A program: logs of every kind with a torch that lacks one of the names that hooks touches.

Its arguments are the name, or ``nothing``, and the run's directory. It prints what the logger of
safewriter said, a line each.
"""

from __future__ import annotations

import importlib
import logging
import sys
import types
from pathlib import Path

import numpy as np
import torch

WRITER = "torch.utils.tensorboard.writer"


def remove(name: str) -> None:
    """Be left with a torch without `name`: it calls it something else."""
    owner, _, last = name.rpartition(".")
    if owner in ("SummaryWriter", "FileWriter", WRITER):
        rewrite(last, f"another_{last}")
    elif name != "nothing":
        delattr(importlib.import_module(owner), last)


def rewrite(name: str, other: str) -> None:
    """Put a copy of torch's writer module in its place, in which a name is another."""
    package = importlib.import_module("torch.utils.tensorboard")
    old = importlib.import_module(WRITER)
    assert old.__file__ is not None
    source = Path(old.__file__).read_text(encoding="utf-8")
    if name == "EventFileWriter":
        source = source.replace(f"import {name}\n", f"import {name} as {other}\n")
        source = source.replace(f" {name}(", f" {other}(")
    else:
        source = source.replace(name, other)
        source = source.replace(f"event_writer.{other}(", f"event_writer.{name}(")
    module = types.ModuleType(WRITER)
    module.__file__, module.__package__ = old.__file__, package.__name__
    exec(compile(source, old.__file__, "exec", dont_inherit=True), module.__dict__)
    assert not hasattr(module, name)
    sys.modules[WRITER] = module
    vars(package).update(
        writer=module, SummaryWriter=module.SummaryWriter, FileWriter=module.FileWriter
    )


class Lines(logging.Handler):
    """Prints what is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print it."""
        print(f"{record.levelname} {record.getMessage()}")


def log_everything(directory: str) -> None:
    """Log something of each kind, at two steps."""
    from safewriter import SafeSummaryWriter

    pixels = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
    corners = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    writer = SafeSummaryWriter(directory, unique=False)
    for step in range(1, 4):
        writer.add_scalar("loss", 1 / step, step)
        writer.add_scalars("both", {"a": 1 / step, "b": 2 / step}, step)
        writer.add_histogram("weights", torch.arange(100.0), step)
        writer.add_histogram("own bins", torch.arange(100.0), step, bins="auto")
        writer.add_image("picture", pixels, step)
        writer.add_image("grey", pixels[0], step, dataformats="HW")
        writer.add_images("pictures", pixels[None], step)
        writer.add_text("note", f"hello {step}", step)
        writer.add_pr_curve("curve", torch.tensor([0, 1]), torch.tensor([0.2, 0.8]), step)
        writer.add_mesh("mesh", corners, global_step=step)
        writer.add_tensor("tensor", torch.arange(3.0), step)
    writer.add_hparams({"rate": 0.1}, {"final": 0.5}, run_name="trial")
    writer.add_custom_scalars({"page": {"chart": ["Multiline", ["loss"]]}})
    writer.add_graph(torch.nn.Linear(2, 1), torch.zeros(1, 2))
    writer.flush()
    writer.close()


def main(name: str, directory: str) -> None:
    """Log everything without that name."""
    logger = logging.getLogger("safewriter")
    logger.setLevel(logging.INFO)
    # What is said of the runs is the same with any torch.
    logger.addFilter(lambda record: not record.getMessage().startswith("run "))
    logger.addHandler(Lines())
    remove(name)
    log_everything(directory)


if __name__ == "__main__":
    main(*sys.argv[1:])
