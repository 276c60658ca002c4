"""A clock that a test moves on, so that nothing has to wait for what is due in a second."""

from __future__ import annotations

import time

_time, _monotonic = time.time, time.monotonic


class Clock:
    """Moves on what ``time.time`` and ``time.monotonic`` say in this process."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def start(self) -> None:
        """Be the clock of this process from now on.

        Called before what is tested is imported, which may keep Python's functions.
        """
        time.time = lambda: _time() + self._ahead
        time.monotonic = lambda: _monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self._ahead += seconds
