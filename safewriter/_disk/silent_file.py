"""The event file of a rank that is told to be silent."""

from __future__ import annotations

from typing import Any

from safewriter._disk.event_file import EventFile
from safewriter._disk.marks import Mark


class SilentFile(EventFile):
    """An event file that is never made: that of a rank which is told to be silent."""

    def is_closed_for(self, generation: int) -> bool:
        """Always: there is nothing to close."""
        return True

    def open(self, generation: int = 0) -> None:
        """Do nothing."""

    def append(
        self,
        payload: bytes,
        now: float,
        mark: Mark | None = None,
        step: int = 0,
        *_: Any,
        **__: Any,
    ) -> int:
        """Write nothing; what is logged is still checked."""
        if mark is None:
            return 0
        before, mark.last = mark.last, step
        return before

    def flush(self) -> None:
        """Do nothing."""

    def close(self, generation: int = 0, *, look: bool = True) -> None:
        """Do nothing."""
