"""Programs in the style of PyTorch's own tutorials: the same data as stock, and nothing is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import safewriter
from tests.programs.warm import WarmPython
from tests.support import event_files, read_events, spawn_python

TUTORIALS = sorted((Path(__file__).parent / "tutorials").glob("*.py"))
WARNINGS = [name for name in safewriter.__all__ if name.endswith("Warning")]
# What an optimizer imports when it is first used takes longer than a tutorial.
SLOW = ["torch._dynamo", "matplotlib.pyplot"]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    """Starts scripts whose slow imports are done."""
    directory = tmp_path_factory.mktemp("warm")
    launcher = Path(__file__).parent / "programs" / "launcher.py"
    with spawn_python(launcher, cwd=directory, args=SLOW) as process:
        yield WarmPython(process, directory)


def _logged(logs: Path) -> Counter[tuple[str, int, str]]:
    """Return tag, step and value of everything below a directory, and its files of other kinds."""
    logged: Counter[tuple[str, int, str]] = Counter()
    for event in read_events(logs):
        if event.HasField("graph_def"):
            logged["graph", event.step, str(event.graph_def)] += 1
        for value in event.summary.value:
            # A time, and pictures that our encoder compresses otherwise.
            differs = "seconds" in value.tag or value.HasField("image")
            # The name of a session is made of the time.
            # Stock torch describes the columns in a run of its own, which hides those of others.
            if not value.tag.startswith("_hparams_/"):
                logged[value.tag, event.step, "..." if differs else str(value)] += 1
    for file in logs.rglob("*"):
        if file.is_file() and "tfevents" not in file.name and ".safewriter" not in file.parts:
            logged[file.name, 0, str(file.stat().st_size)] += 1
    return logged


def _empty(logs: Path) -> int:
    """Return how many event files have nothing but their version in them."""
    return sum(len(read_events(file)) < 2 for file in event_files(logs))


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_logs_what_it_logs_with_torchs_writer_and_is_not_warned(
    warm, tmp_path, tutorial
):
    """A program that does nothing wrong sees stock behaviour, and no warning."""
    for name in ("stock", "safe"):
        (tmp_path / name).mkdir()
    warm.run(tutorial, cwd=tmp_path / "stock")
    done = warm.run(tutorial, safe=True, cwd=tmp_path / "safe")
    assert [line for line in done.stderr.splitlines() if any(w in line for w in WARNINGS)] == []
    stock, safe = _logged(tmp_path / "stock"), _logged(tmp_path / "safe")
    assert stock
    assert safe == stock
    assert _empty(tmp_path / "safe") <= _empty(tmp_path / "stock")
