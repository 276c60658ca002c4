"""Two writers on one ``log_dir``: in one process they share a run, a second process is refused.

    python examples/two_writers.py [--log-dir DIR]

Two event files that grow in one directory make TensorBoard lose points when it is restarted. So
writers of one process share one file, and a directory has one live process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from safewriter import RunLockedError, SafeSummaryWriter


class Trainer:
    """One module of a program, with its own writer."""

    def __init__(self, log_dir: str) -> None:
        self.writer = SafeSummaryWriter(log_dir)

    def step(self, step: int) -> None:
        """Log a training step."""
        self.writer.add_scalar("train/loss", 1.0 / (step + 1), step)


class Monitor:
    """Another module, which knows nothing of the first but the name of the directory."""

    def __init__(self, log_dir: str) -> None:
        self.writer = SafeSummaryWriter(log_dir)

    def step(self, step: int) -> None:
        """Log what the machine does."""
        self.writer.add_scalar("system/cpu_seconds", time.process_time(), step)


def intrude(run: str) -> None:
    """Try to write to the run of another process; ``unique=False`` means exactly there."""
    try:
        SafeSummaryWriter(run, unique=False)
    except RunLockedError as error:
        print(f"the other process: RunLockedError: {error}", flush=True)


def main() -> None:
    """Show the shared run, then the refusal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log-dir", default="runs/two_writers")
    args = parser.parse_args()

    trainer, monitor = Trainer(args.log_dir), Monitor(args.log_dir)
    for step in range(10):
        trainer.step(step)
        monitor.step(step)
    run = trainer.writer.log_dir
    print(f"both modules write {run}: {monitor.writer.log_dir == run}")

    other = multiprocessing.get_context("spawn").Process(target=intrude, args=(run,))
    other.start()
    other.join()

    trainer.writer.close()
    monitor.writer.close()
    events = EventAccumulator(run).Reload()
    for tag in events.Tags()["scalars"]:
        print(f"  {tag}: {len(events.Scalars(tag))} points")


if __name__ == "__main__":
    main()
