"""Safe logging for code that you do not want to edit.

    python examples/patch_existing_script.py [--log-dir DIR]

``train`` below stands for somebody else's code: it uses torch's class by a name it imported long
before, and it never closes its writer. For a whole script there is no need for a line of code:

    python -m safewriter run train.py --epochs 10
"""

from __future__ import annotations

import argparse

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

import safewriter


def train(log_dir: str) -> str:
    """Log with torch's writer, as it was always done here."""
    writer = SummaryWriter(log_dir)
    for step in range(100):
        writer.add_scalar("train/loss", 1.0 / (step + 1), step)
    return str(writer.log_dir)


def main() -> None:
    """Patch, run the unchanged code twice, and show both runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log-dir", default="runs/patch_existing_script")
    args = parser.parse_args()

    # The block ends the patch; `safewriter.patch()` as a plain call lasts until `unpatch()`.
    with safewriter.patch():
        runs = [train(args.log_dir) for _ in range(2)]

    for run in runs:
        events = EventAccumulator(run).Reload()
        print(f"{run}: {len(events.Scalars('train/loss'))} points")


if __name__ == "__main__":
    main()
