"""Fixtures of the tests in which disks refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs.warm import WarmPython
from tests.support import spawn_python
from tests.support.faults import Faults, TinyDisk, missing_for_preload

LAUNCHER = Path(__file__).parents[1] / "programs" / "launcher.py"


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """What write(2) does in the processes of `faulty`."""
    if missing := missing_for_preload():
        pytest.skip(missing)
    faults = Faults(tmp_path_factory.mktemp("faults") / "control")
    yield faults
    faults.close()


@pytest.fixture(scope="session")
def _faulty(faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    directory = tmp_path_factory.mktemp("faulty")
    with spawn_python(LAUNCHER, cwd=directory, env=faults.environment()) as launcher:
        yield WarmPython(launcher, directory)


@pytest.fixture
def faulty(_faulty: WarmPython, faults: Faults) -> Iterator[WarmPython]:
    """Runs scripts whose writes to event files obey `faults`."""
    yield _faulty
    faults.clear()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[TinyDisk]:
    """A disk of 64 KiB."""
    try:
        with TinyDisk(tmp_path / "disk") as disk:
            yield disk
    except PermissionError as error:
        pytest.skip(str(error))
