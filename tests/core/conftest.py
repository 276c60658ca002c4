"""Fixtures of the tests in which things overlap."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
