"""The command line, as a user has it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.processes import child_env


def run_command(
    *arguments: str | os.PathLike[str], deadline: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m safewriter`` with arguments to its end; the test fails at the deadline."""
    try:
        return subprocess.run(
            [sys.executable, "-m", "safewriter", *arguments],
            env=child_env({"COLUMNS": "200"}),
            text=True,
            capture_output=True,
            check=False,
            timeout=deadline,
        )
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"still running after {deadline} s: {error.stderr!r}")
