"""Fixtures of the tests in which things overlap."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults import TinyDisk
from tests.support.others import Others


@pytest.fixture(scope="session")
def _others() -> Iterator[Others]:
    with Others() as others:
        yield others


@pytest.fixture
def others(_others: Others) -> Iterator[Others]:
    """Starts other processes, which are killed at the end of the test."""
    yield _others
    _others.kill_all()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory in which every user may write, and none may delete what is another's."""
    if os.getuid() != 0:
        pytest.skip("only root can be several users")
    directory = Path(tempfile.mkdtemp(prefix="safewriter-shared-"))
    directory.chmod(0o1777)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[TinyDisk]:
    """A disk of 64 KiB."""
    try:
        with TinyDisk(tmp_path / "disk") as disk:
            yield disk
    except PermissionError as error:
        pytest.skip(str(error))
