"""Trackers that listen to a library's writer receive from ours what they receive from its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ecosystem.conftest import Programs


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

    def received(directory: Path) -> list[list[object]]:
        text = (directory / "received.json").read_text(encoding="utf-8")
        return [list(item) for item in json.loads(text)]

    stock = received(programs.stock("trackers.py", [tool, library], [""]).directory)
    ours = programs.start(tmp_path, mode, "trackers.py", [tool, library], [""])
    assert (["train/loss", 9] in [item[:2] for item in stock]) is receives
    assert received(ours.directory) == stock
    assert ours.warned == []
    steps = [
        step
        for run, points in ours.runs.items()
        if run.is_relative_to(ours.directory / "tb")  # wandb has a copy
        for tag, step, _ in points
        if tag == "train/loss"
    ]
    assert steps == list(range(10))
