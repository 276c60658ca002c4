"""Trackers that listen to a library's writer receive from ours what they receive from its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.ecosystem.conftest import Programs
from tests.ecosystem.outcome import Outcome


def received(outcome: Outcome) -> list[list[object]]:
    """Return what the tracker has received, as it wrote it down: name, step, value."""
    text = (outcome.directory / "received.json").read_text(encoding="utf-8")
    return [list(item) for item in json.loads(text)]


@pytest.mark.parametrize(
    ("tool", "library", "receives"),
    [
        *((tool, "torch", True) for tool in ("comet", "wandb", "mlflow", "clearml")),
        *((tool, "tensorboardX", True) for tool in ("wandb", "clearml")),
        *((tool, "tensorboardX", False) for tool in ("comet", "mlflow")),
    ],
)
@pytest.mark.parametrize("mode", ["patch", "run", "late"])
def test_a_tracker_receives_what_it_receives_from_the_librarys_writer(
    programs: Programs, tmp_path: Path, tool: str, library: str, receives: bool, mode: str
) -> None:
    """Hooked before the library's writer is made safe (late) or after."""
    stock = received(programs.stock("trackers.py", [tool, library], [""]))
    ours = programs.start(tmp_path, mode, "trackers.py", [tool, library], [""])
    assert (["train/loss", 9] in [item[:2] for item in stock]) is receives
    assert received(ours) == stock
    assert ours.warned == []
    steps = [
        step
        for run, points in ours.runs.items()
        if run.is_relative_to(ours.directory / "tb")  # wandb has a copy
        for tag, step, _ in points
        if tag == "train/loss"
    ]
    assert steps == list(range(10))


@pytest.mark.parametrize("tool", ["comet", "mlflow"])
def test_a_warning_names_the_users_lines(programs: Programs, tmp_path: Path, tool: str) -> None:
    """Not the one of the tracker that passes on everything."""
    ours = programs.start(tmp_path, "late", "trackers.py", [tool, "torch", "baseline"], [""])
    lines = (tmp_path / "trackers.py").read_text(encoding="utf-8").splitlines()
    evaluated, trained = (
        next(number for number, line in enumerate(lines, 1) if line.endswith(f"# {word}"))
        for word in ("evaluated", "trained")
    )
    (warning,) = ours.warned
    assert warning.startswith(f"BaselineWarning trackers.py:{trained} ")
    assert f"trackers.py:{evaluated})" in warning


@pytest.mark.parametrize("args", [["tb/TIME/train,tb/TIME/val"], ["exactly", "tb/train,tb/val"]])
def test_the_names_that_wandb_gives_to_several_directories(
    programs: Programs, tmp_path: Path, args: list[str]
) -> None:
    """As with torch's writer, if the time of the start is above them or they are exact."""
    stock = programs.stock("trackers.py", ["wandb", "torch", *args], [""])
    ours = programs.start(tmp_path, "late", "trackers.py", ["wandb", "torch", *args], [""])
    assert {name for name, *_ in received(stock)} >= {"train/loss", "val/loss"}
    assert received(ours) == received(stock)
    assert ours.warned == []


def test_wandb_names_a_run_below_one_of_several_directories_by_its_time(
    programs: Programs, tmp_path: Path
) -> None:
    """What the docs say of it: it knows nothing but the path below the common root."""
    ours = programs.start(
        tmp_path, "late", "trackers.py", ["wandb", "torch", "tb/train,tb/val"], [""]
    )
    names = {re.sub(r"[\d-]+_[\d-]+", "<start>", str(name)) for name, *_ in received(ours)}
    assert names >= {"train/<start>/loss", "val/<start>/loss"}
