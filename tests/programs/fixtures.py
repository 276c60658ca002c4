"""What a test module gets that names this one in ``pytest_plugins``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs.warm import WarmPython
from tests.support import spawn_python


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    """A :class:`WarmPython` for all tests of the session."""
    directory = tmp_path_factory.mktemp("warm")
    with spawn_python(Path(__file__).with_name("launcher.py"), cwd=directory) as launcher:
        yield WarmPython(launcher, directory)
