"""Evaluation that is logged before the training it measures, and how to be told.

    python examples/evaluation_order.py [--log-dir DIR]

TensorBoard draws by step. If a loop evaluates first and trains afterwards under the same step, each
validation point seems to belong to weights that did not exist yet.
"""

from __future__ import annotations

import argparse
import os
import warnings

from safewriter import SafeSummaryWriter, TagOrderWarning

EPOCHS = 5


def evaluate_first(log_dir: str) -> str:
    """Log the validation loss of an epoch before its training loss."""
    with SafeSummaryWriter(log_dir) as writer:
        for epoch in range(EPOCHS):
            writer.add_scalar("val/loss", 1.2 / (epoch + 1), epoch)
            writer.add_scalar("train/loss", 1.0 / (epoch + 1), epoch)
    return str(writer.log_dir)


def train_first(log_dir: str) -> str:
    """Log the training loss of an epoch, then the validation loss of the weights it left."""
    with SafeSummaryWriter(log_dir) as writer:
        for epoch in range(EPOCHS):
            writer.add_scalar("train/loss", 1.0 / (epoch + 1), epoch)
            writer.add_scalar("val/loss", 1.2 / (epoch + 1), epoch)
    return str(writer.log_dir)


def main() -> None:
    """Run both orders, then the wrong one with the warning made an error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log-dir", default="runs/evaluation_order")
    args = parser.parse_args()

    for train in (evaluate_first, train_first):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = train(os.path.join(args.log_dir, train.__name__))
        print(f"{train.__name__}: {run}")
        for warning in caught:
            place = f"{os.path.basename(warning.filename)}:{warning.lineno}"
            print(f"  {place}: {warning.category.__name__}: {warning.message}")
        if not caught:
            print("  no warning")

    # As an error it stops the run at the first training point, before that is written.
    # The evaluation that came too early is on disk by then: it was no mistake until training began.
    warnings.filterwarnings("error", category=TagOrderWarning)
    try:
        evaluate_first(os.path.join(args.log_dir, "as_error"))
    except TagOrderWarning:
        print("as an error: stopped at the first training point; only the evaluation is written")


if __name__ == "__main__":
    main()
