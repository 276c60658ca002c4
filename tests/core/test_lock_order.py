"""Nobody waits for a lock, warns or logs under another lock: so there is no deadlock."""

from __future__ import annotations

import ast
from pathlib import Path

pytest_plugins = ["tests.programs.fixtures"]

PROGRAM = Path(__file__).with_name("traced_locks.py")


def test_nobody_waits_or_tells_under_a_lock(warm, tmp_path):
    """Whatever is done with writers, a thread that holds a lock waits for no other, and the user's
    code is called under none.
    """
    done = warm.run(PROGRAM, cwd=tmp_path)
    *wrong, counts = done.stdout.splitlines()
    assert wrong == []
    taken = ast.literal_eval(counts)
    assert taken["the state"] > 100
    assert taken["a file"] > 100


def test_a_wrong_order_is_noticed(warm, tmp_path):
    """The test above notices each kind of wrong order."""
    done = warm.run(PROGRAM, cwd=tmp_path, args=["wrong"])
    *wrong, _ = done.stdout.splitlines()
    text = "\n".join(wrong)
    assert "waits for a lock of a file under ['the state']" in text
    assert "waits for a lock of the state under ['a file'" in text
    assert "warns UserWarning under ['a file'" in text
    assert "logs 'a line' under ['a file'" in text
