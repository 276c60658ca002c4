"""One start of a program and one ``log_dir`` is one run, until the step count starts over.

    python examples/one_run_per_start.py [--log-dir DIR]

Run it twice: nothing is mixed, since each start has directories of its own.
"""

from __future__ import annotations

import argparse
import os

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from safewriter import SafeSummaryWriter


def log_step(log_dir: str, step: int) -> str:
    """Log one point through a writer made on the spot, as helper functions often do."""
    writer = SafeSummaryWriter(log_dir)
    writer.add_scalar("train/loss", 1.0 / (step + 1), step)
    return str(writer.log_dir)


def train(log_dir: str, lr: float) -> str:
    """Train once; the step count starts at 0."""
    with SafeSummaryWriter(log_dir) as writer:
        for step in range(20):
            writer.add_scalar("train/loss", (1.0 - lr) ** step, step)
    return str(writer.log_dir)


def show(run: str) -> None:
    """Print a run and the steps of its curve, as TensorBoard reads them."""
    events = EventAccumulator(run).Reload()
    steps = [point.step for point in events.Scalars("train/loss")]
    print(f"  {run}: {len(steps)} points, steps {steps[0]} to {steps[-1]}")


def main() -> None:
    """Show the runs of a hundred small writers and of a sweep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log-dir", default="runs/one_run_per_start")
    args = parser.parse_args()

    print("100 writers, made and dropped in a function, rising steps: one run")
    helper_dir = os.path.join(args.log_dir, "helper")
    for run in sorted({log_step(helper_dir, step) for step in range(100)}):
        show(run)

    print("3 rounds of a sweep over one log_dir, each from step 0: three runs")
    sweep_dir = os.path.join(args.log_dir, "sweep")
    for run in sorted({train(sweep_dir, lr) for lr in (0.1, 0.2, 0.4)}):
        show(run)


if __name__ == "__main__":
    main()
