"""Trackers that listen to torch's writer receive from ours what they receive from torch's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ecosystem.conftest import Programs


@pytest.mark.parametrize("tool", ["comet", "wandb", "mlflow", "clearml"])
@pytest.mark.parametrize("mode", ["patch", "run", "late"])
def test_a_tracker_receives_what_it_receives_from_torchs_writer(
    programs: Programs, tmp_path: Path, tool: str, mode: str
) -> None:
    """Hooked before torch's writer is made safe (late) or after."""

    def received(directory: Path) -> list[list[object]]:
        text = (directory / "received.json").read_text(encoding="utf-8")
        return [list(item) for item in json.loads(text)]

    stock = received(programs.stock("trackers.py", [tool], [""]).directory)
    ours = programs.start(tmp_path, mode, "trackers.py", [tool], [""])
    assert ["train/loss", 9] in [item[:2] for item in stock]
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


@pytest.mark.parametrize("tool", ["comet", "mlflow"])
def test_a_warning_names_the_users_lines(programs: Programs, tmp_path: Path, tool: str) -> None:
    """Not the one of the tracker that passes on everything."""
    ours = programs.start(tmp_path, "late", "trackers.py", [tool, "baseline"], [""])
    lines = (tmp_path / "trackers.py").read_text(encoding="utf-8").splitlines()
    evaluated, trained = (
        next(number for number, line in enumerate(lines, 1) if line.endswith(f"# {word}"))
        for word in ("evaluated", "trained")
    )
    (warning,) = ours.warned
    assert warning.startswith(f"BaselineWarning trackers.py:{trained} ")
    assert f"trackers.py:{evaluated})" in warning
