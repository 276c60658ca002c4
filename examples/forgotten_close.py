"""A process that dies without ``close()``: what is left on disk, with torch's writer and with ours.

    python examples/forgotten_close.py [--log-dir DIR]

Each writer logs 1,000 scalars in a process of its own, which then ends at once, as after
``kill -9`` or when the memory ran out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from safewriter import SafeSummaryWriter

POINTS = 1000


def train(writer_class: type[SummaryWriter], log_dir: str) -> None:
    """Log and die. Nothing is closed or flushed, and no cleanup of Python's runs."""
    writer = writer_class(log_dir)
    for step in range(POINTS):
        writer.add_scalar("train/loss", 1.0 / (step + 1), step)
    os._exit(1)


def points_on_disk(log_dir: str) -> int:
    """Count the points that TensorBoard's reader finds in the one run below ``log_dir``."""
    found = 0
    for file in Path(log_dir).rglob("events.out.tfevents.*"):
        events = EventAccumulator(str(file), size_guidance={"scalars": 0}).Reload()
        found += len(events.Scalars("train/loss")) if events.Tags()["scalars"] else 0
    return found


def main() -> None:
    """Run both and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log-dir", default="runs/forgotten_close")
    args = parser.parse_args()

    # A new interpreter each, so that neither inherits anything.
    context = multiprocessing.get_context("spawn")
    for writer_class in (SummaryWriter, SafeSummaryWriter):
        log_dir = os.path.join(args.log_dir, writer_class.__name__)
        before = points_on_disk(log_dir)
        process = context.Process(target=train, args=(writer_class, log_dir))
        process.start()
        process.join()
        arrived = points_on_disk(log_dir) - before
        print(f"{writer_class.__name__}: {arrived} of {POINTS} points are on disk")


if __name__ == "__main__":
    main()
