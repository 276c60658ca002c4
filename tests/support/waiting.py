"""Waiting for something that nothing announces."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], deadline: float = 30.0, what: str = "") -> T:
    """Call ``condition`` until it returns something true, and return that.

    Args:
        condition: asked about 20 times a second.
        deadline: seconds to go on for.
        what: named in the failure.

    Raises:
        AssertionError: the deadline passed; names the last value that ``condition`` returned.
    """
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what or condition}; last: {value!r}")
        time.sleep(0.05)
