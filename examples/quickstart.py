"""Train a small network on handwritten digits, log the run, and read back what arrived.

    python examples/quickstart.py [--log-dir DIR] [--epochs N]

Needs the extra ``examples``. The digits come with scikit-learn: 1,797 pictures of 8x8 pixels.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import train_test_split
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch import Tensor, nn

from safewriter import SafeSummaryWriter

# By default the reader keeps a sample of the points; 0 keeps all.
EVERYTHING = {"scalars": 0, "histograms": 0, "images": 0, "tensors": 0}
HPARAMS = "_hparams_/session_start_info"


def load_data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return pixels as (N, 64) floats from 0 to 1 and labels as (N,) integers, train then val."""
    digits = load_digits()
    pixels = torch.tensor(digits.data / 16.0, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    train, val = train_test_split(range(len(labels)), test_size=0.25, random_state=0)
    return pixels[train], labels[train], pixels[val], labels[val]


def confusion_figure(labels: Tensor, predicted: Tensor) -> Figure:
    """Draw which digit was taken for which."""
    figure = Figure(figsize=(4, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(confusion_matrix(labels, predicted), cmap="Blues")
    axes.set(xlabel="predicted", ylabel="true", xticks=range(10), yticks=range(10))
    return figure


def train(log_dir: str, epochs: int, lr: float = 0.1, batch_size: int = 64) -> str:
    """Train, log everything to a new run below ``log_dir``, and return the run's directory."""
    torch.manual_seed(0)
    pixels, labels, val_pixels, val_labels = load_data()
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    loss_function = nn.CrossEntropyLoss()

    # `with` closes the run and notes whether it ended well; without it nothing would be lost.
    with SafeSummaryWriter(log_dir) as writer:
        writer.add_text("about", f"Digits, 64-32-10 network, SGD with learning rate {lr}.")
        writer.add_graph(model, val_pixels[:1])
        step = 0
        for epoch in range(1, epochs + 1):
            for batch in torch.split(torch.randperm(len(labels)), batch_size):
                loss = loss_function(model(pixels[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
                writer.add_scalar("train/loss", loss.item(), step)

            # Evaluated after the training step whose weights it measures, and logged at that step.
            with torch.no_grad():
                scores = model(val_pixels)
            val_loss = loss_function(scores, val_labels).item()
            predicted = scores.argmax(dim=1)
            wrong = predicted != val_labels
            accuracy = 1.0 - wrong.float().mean().item()
            writer.add_scalar("val/loss", val_loss, step)
            writer.add_scalar("val/accuracy", accuracy, step)
            for name, parameter in model.named_parameters():
                writer.add_histogram(f"weights/{name}", parameter, step)
            writer.add_figure("val/confusion", confusion_figure(val_labels, predicted), step)
            if wrong.any():
                misread = val_pixels[wrong][:16].reshape(-1, 1, 8, 8)
                writer.add_images("val/misread", misread, step)
            print(f"epoch {epoch}: val loss {val_loss:.3f}, val accuracy {accuracy:.3f}")

        writer.add_hparams(
            {"lr": lr, "batch_size": batch_size, "epochs": epochs},
            {"hparam/accuracy": accuracy, "hparam/loss": val_loss},
        )
    return str(writer.log_dir)


def report(log_dir: str) -> None:
    """Read a run back with TensorBoard's own reader and print what it holds."""
    events = EventAccumulator(log_dir, size_guidance=EVERYTHING).Reload()
    tags = events.Tags()
    print("\nthe run")
    for tag in tags["scalars"]:
        points = events.Scalars(tag)
        last = f"last {points[-1].value:.4f} at step {points[-1].step}"
        print(f"  scalar     {tag}: {len(points)}, {last}")
    for tag in tags["histograms"]:
        print(f"  histogram  {tag}: {len(events.Histograms(tag))}")
    for tag in tags["images"]:
        print(f"  image      {tag}: {len(events.Images(tag))}")
    for tag in tags["tensors"]:
        print(f"  text       {tag}: {len(events.Tensors(tag))}")
    if tags["graph"]:
        print("  graph")
    if HPARAMS in events.summary_metadata:
        content = events.SummaryMetadata(HPARAMS).plugin_data.content
        hparams = HParamsPluginData.FromString(content).session_start_info.hparams
        print(f"  hparams    {', '.join(sorted(hparams))}")


def main() -> None:
    """Train, read back, and say how to look at it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--log-dir", default="runs", help="parent of the new run (default: runs)")
    parser.add_argument("--epochs", type=int, default=8)
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error("--epochs must be at least 1")

    run = train(args.log_dir, args.epochs)
    print("\nWhat TensorBoard's reader finds:")
    report(run)
    print(f"\nThe run is in {run}\nLook at it with:\n")
    # The one of this Python, which need not be on the shell's PATH.
    tensorboard = [sys.executable, "-m", "tensorboard.main"]
    print(f"  {shlex.join([*tensorboard, '--logdir', str(Path(run).parent)])}")


if __name__ == "__main__":
    main()
