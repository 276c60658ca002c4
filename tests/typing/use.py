"""The API as a typed program uses it; mypy checks this file strictly, and nobody runs it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import assert_type

import safewriter
from safewriter import (
    ArgumentError,
    RunDirectoryError,
    RunLockedError,
    SafeSummaryWriter,
    SafeWriterError,
    SafeWriterWarning,
    StepOrderWarning,
    patch,
    unpatch,
)


class Logger(SafeSummaryWriter):
    """A writer of the program's own."""

    def __init__(self, log_dir: str | os.PathLike[str], prefix: str) -> None:
        super().__init__(log_dir, comment=prefix, resume=True)
        self.prefix = prefix

    def log_epoch(self, loss: torch.Tensor, epoch: int) -> None:
        """Log under the prefix."""
        self.add_scalar(f"{self.prefix}/loss", loss, epoch)


def make() -> list[SafeSummaryWriter]:
    """Make writers in every way."""
    return [
        SafeSummaryWriter(),
        SafeSummaryWriter("logs"),
        SafeSummaryWriter(Path("logs")),
        SafeSummaryWriter("logs", "comment", 5, 10, 120, ".suffix"),
        SafeSummaryWriter("logs", flush_secs=0.5, purge_step=None),
        SafeSummaryWriter(log_dir=None, unique=False, root="project", ranks="zero"),
        SafeSummaryWriter(
            "logs", resume=True, root=Path("/data"), train_tags=["fit"], eval_tags=("ood",)
        ),
        Logger("logs", "a"),
    ]


def train(log_dir: str, model: torch.nn.Module) -> str:
    """Log everything, with each type of value."""
    with SafeSummaryWriter(log_dir) as writer:
        assert_type(writer, SafeSummaryWriter)
        for step in range(3):
            writer.add_scalar("loss", 0.5, step)
            writer.add_scalar("loss", torch.tensor(0.5), global_step=step, walltime=1.0)
            writer.add_scalar("loss", np.float32(0.5), step, new_style=True)
            writer.add_scalars("both", {"a": 0.5, "b": torch.tensor(1.0)}, step)
            writer.add_histogram("weights", torch.ones(3), step, bins="auto", max_bins=10)
            writer.add_histogram("weights", np.ones(3), step)
            writer.add_image("image", torch.zeros(3, 4, 4), step, dataformats="CHW")
            writer.add_images("images", np.zeros((2, 3, 4, 4)), step)
            writer.add_text("text", "text", step)
        writer.add_graph(model, torch.zeros(1, 3))
        writer.add_embedding(torch.eye(3), metadata=["a", "b", "c"], global_step=1)
        writer.add_pr_curve("pr", torch.ones(3), torch.ones(3), 1)
        writer.add_audio("audio", torch.zeros(10), 1)
        writer.add_video("video", torch.zeros(1, 2, 3, 4, 4), 1)
        writer.add_mesh("mesh", torch.zeros(1, 4, 3), global_step=1)
        writer.add_custom_scalars({"a": {"b": ["Multiline", ["loss"]]}})
        writer.add_custom_scalars_multilinechart(["loss"])
        writer.add_hparams({"lr": 0.1, "name": "adam"}, {"accuracy": 0.5}, run_name="hp")
        writer.flush()
    with Logger(log_dir, "train") as logger:
        assert_type(logger, Logger)
        logger.log_epoch(torch.tensor(0.5), 1)
    writer.close()
    assert_type(writer.log_dir, str | Any)
    assert_type(writer.get_logdir(), str | Any)
    stock: SummaryWriter = writer
    return repr(stock)


def settings() -> None:
    """Patch, escalate, and handle errors."""
    with patch(unique=False, root="project"):
        SummaryWriter("logs").add_scalar("loss", 1.0, 1)
    patch(tensorboardx=False)
    patch()
    unpatch()
    warnings.filterwarnings("error", category=StepOrderWarning)
    warnings.filterwarnings("ignore", category=SafeWriterWarning)
    try:
        SafeSummaryWriter("logs")
    except RunLockedError as error:
        assert_type(error, RunLockedError)
        assert_type(error.pid, int | None)
        assert_type(error.host, str | None)
        assert_type(error.start, float | None)
    except RunDirectoryError as error:
        assert_type(error.errno, int | None)
        raise SystemExit(f"{error.path}: {error.cure}") from error
    except ArgumentError as error:
        assert_type(error.argument, str)
    except SafeWriterError:
        pass
    assert_type(safewriter.__version__, str)
    assert_type(safewriter.list_runs(Path("logs")), list[safewriter.runs.Run])
