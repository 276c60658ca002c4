"""Fixtures that every test gets."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep safewriter's environment variables of the developer's shell out of the tests."""
    for name in os.environ:
        if name.startswith("SAFEWRITER_"):
            monkeypatch.delenv(name)
