"""Fixtures that every test gets."""

from __future__ import annotations

import os
import signal

import hypothesis
import pytest

from safewriter._run import directory

# How long an example takes says nothing on a machine that does other things as well.
hypothesis.settings.register_profile(
    "safewriter",
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("safewriter")

# A shell starts what runs in the background with Ctrl-C ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# pytest-xdist sets it for its workers: what prints to no terminal would be as narrow as one.
os.environ.pop("COLUMNS", None)


@pytest.fixture(autouse=True)
def _no_places_of_other_tests() -> None:
    """Let each test be a program of its own: where others have been is not told to it."""
    directory._places.clear()
    directory._told.clear()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep safewriter's environment variables of the developer's shell out of the tests."""
    for name in os.environ:
        if name.startswith("SAFEWRITER_"):
            monkeypatch.delenv(name)
