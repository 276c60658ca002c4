"""What would spoil a run is refused by name, before anything of it is written, in every method."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from safewriter import SafeSummaryWriter
from safewriter._ledger.ledger import TagLedger
from safewriter.events import event_files, read_events, read_scalars

IMAGE = torch.zeros(3, 4, 4)

# Each logs with a step and a wall time that it is given, under a tag with "loss" in it.
METHODS: dict[str, Callable[[SafeSummaryWriter, Any, Any], None]] = {
    "scalar": lambda w, step, time: w.add_scalar("loss", 1.0, step, time),
    "known scalar": lambda w, step, time: w.add_scalar("known loss", 1.0, step, time),
    "new style": lambda w, step, time: w.add_scalar("loss", 1.0, step, time, new_style=True),
    "scalars": lambda w, step, time: w.add_scalars("loss", {"a": 1.0, "b": 2.0}, step, time),
    "known scalars": lambda w, step, time: w.add_scalars("known losses", {"a": 1.0}, step, time),
    "text": lambda w, step, time: w.add_text("loss", "words", step, time),
    "histogram": lambda w, step, time: w.add_histogram("loss", np.arange(4.0), step, "auto", time),
    "image": lambda w, step, time: w.add_image("loss", IMAGE, step, time),
    "images": lambda w, step, time: w.add_images("loss", IMAGE[None], step, time),
    "pr curve": lambda w, step, time: w.add_pr_curve(
        "loss", np.array([0, 1]), np.array([0.1, 0.9]), step, walltime=time
    ),
    "file writer": lambda w, step, time: w._get_file_writer().add_summary(
        torch.utils.tensorboard.summary.scalar("loss", 1.0), step, time
    ),
}


def everything_in(run: Path) -> list[bytes]:
    """Return the events of a run and of its series."""
    directories = [run, *(path for path in run.iterdir() if path.is_dir())]
    return [
        event.SerializeToString()
        for directory in directories
        for event in read_events(directory)
        if event.HasField("summary")
    ]


def refused(run: Path, method: str, match: str, step: object, time: object) -> None:
    """Assert that a call is refused, leaves no trace, and that the run goes on."""
    with SafeSummaryWriter(run, unique=False) as writer:
        for first in (1, 2):
            writer.add_scalar("known loss", first, first)
            writer.add_scalars("known losses", {"a": float(first)}, first)
        before = everything_in(run)
        with pytest.raises(ValueError, match=match):
            METHODS[method](writer, step, time)
        assert everything_in(run) == before
        METHODS[method](writer, 3, 1.5e9)
        assert len(everything_in(run)) > len(before)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", [2**63, -(2**63) - 1, 1e300, np.uint64(2**63)], ids=repr)
def test_a_step_that_does_not_fit_is_refused(tmp_path: Path, method: str, step: object) -> None:
    """A step beyond 64 bits is a ValueError that names tag and step."""
    refused(tmp_path, method, r"step .* of '.*loss.*' does not fit in 64 bits", step, None)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("step", [math.nan, math.inf, "one"], ids=repr)
def test_a_step_that_is_no_number_is_refused(tmp_path: Path, method: str, step: object) -> None:
    """A step that is no number is a ValueError that names tag and step."""
    refused(tmp_path, method, r"step .* of '.*loss.*' is not an integer", step, None)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("time", [math.nan, math.inf, -math.inf], ids=repr)
def test_a_wall_time_that_is_not_finite_is_refused(
    tmp_path: Path, method: str, time: float
) -> None:
    """A wall time that ends the file for the default reader is a ValueError that names the tag."""
    refused(tmp_path, method, r"walltime .* of '.*loss.*' is not finite", 3, time)


@pytest.mark.parametrize("step", [-(2**63), 2**63 - 1], ids=repr)
def test_the_first_and_the_last_step_are_taken(tmp_path: Path, step: int) -> None:
    """Every step that fits in 64 bits is logged as it is."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 1.0, step)
    assert read_scalars(tmp_path)["loss"].steps.tolist() == [step]


def test_one_value_of_a_summary_that_is_refused_writes_none(tmp_path: Path) -> None:
    """A refused call of add_scalars writes none of its series, and makes no directory for them."""
    with SafeSummaryWriter(tmp_path, unique=False) as writer:
        writer.add_scalar("loss", 1.0, 0)
        with pytest.raises(Exception, match="UTF-8"):
            writer.add_scalars("losses", {"a": 1.0, "b\udcff": 2.0}, 0)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [".safewriter"]
    assert len(event_files(tmp_path)) == 1


def test_a_hundred_thousand_tags_take_less_than_50_mb() -> None:
    """What the ledger remembers of a tag is small."""
    tags = [f"layer.{number}/Gradient_Norm" for number in range(100_000)]
    tracemalloc.start()
    try:
        ledger = TagLedger()
        for step in range(2):
            for tag in tags:
                verdict = ledger.judge(tag, "scalar", step, 1.0)
                ledger.admit(verdict)
                verdict.move(None)
        used, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(ledger.tags) == 100_000
    assert max(used, peak) < 50e6
