"""SIGKILL at any place while it is open, or being decided, which run a new writer writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.core.killed_rounds import CALLS

pytest_plugins = ["tests.programs.fixtures"]


def assert_nothing_is_lost_or_mixed(warm, tmp_path: Path, call: str, most: int) -> None:
    """Kill at up to `most` places: what waited is there once, in a run of its round."""
    program = Path(__file__).with_name("killed_rounds.py")
    done = warm.run(program, cwd=tmp_path, args=[call, str(most)], deadline=60 + most / 4)
    *problems, places = done.stdout.splitlines()
    assert problems == []
    assert int(places) >= 10


@pytest.mark.parametrize("call", CALLS)
def test_killed_at_some_places(warm, tmp_path, call):
    """When the next process has opened the runs, all that was acknowledged is there, once."""
    assert_nothing_is_lost_or_mixed(warm, tmp_path, call, 25)


@pytest.mark.stress
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_every_place(warm, tmp_path, call):
    """The same at every place."""
    assert_nothing_is_lost_or_mixed(warm, tmp_path, call, 2000)
