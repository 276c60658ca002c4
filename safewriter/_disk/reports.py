"""An event file in trouble: when the disk is tried again, and what the user is told."""

from __future__ import annotations

import os
import time
from collections import deque

_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 5.0


def counted(events: int) -> str:
    """Return ``"1 event"``, ``"2 events"``, ..."""
    return f"{events} event{'s' * (events != 1)}"


class Reports:
    """Whether the disk refuses at the moment, and the news that have yet to be told."""

    def __init__(self) -> None:
        self.refusing = False
        # Events that had to wait since the refusal, dropped ones included.
        self.delayed = 0
        self.news: deque[str] = deque()
        self._retry_at = 0.0
        self._retry_seconds = _FIRST_RETRY_SECONDS

    def may_try(self) -> bool:
        """Tell whether it is time to try the disk."""
        return time.monotonic() >= self._retry_at

    def try_at_once(self) -> None:
        """Do not wait any longer."""
        self._retry_at = 0.0

    def refused(self, place: str, error_number: int, waiting: int, room: str) -> None:
        """Wait, each time longer, before the next try; tell the first time."""
        self._retry_at = time.monotonic() + self._retry_seconds
        self._retry_seconds = min(self._retry_seconds * 2, _LAST_RETRY_SECONDS)
        if not self.refusing:
            self.refusing = True
            self.delayed = waiting
            self.news.append(
                f"writing to {place} failed: {os.strerror(error_number)} (errno {error_number}). "
                f"Training goes on: {counted(waiting)} and what is logged next wait in memory, up "
                f"to {room}, and go out in order as soon as the disk takes them. Make room."
            )

    def accepted(self, place: str, lost: int) -> None:
        """Tell that all that waited went out, and how many did not fit in memory."""
        self.news.append(
            f"{place} takes events again: {counted(self.delayed - lost)} that waited went out in "
            f"order; {counted(lost)} that did not fit in memory are lost."
        )
        self._calm()

    def gave_up(self, place: str, lost: int) -> None:
        """Tell, at the close of the file, what was lost."""
        if lost:
            self.news.append(
                f"{counted(lost)} could not be written to {place} before it was closed and are "
                "lost: the disk still refuses them. Make room before the run ends; "
                "SAFEWRITER_BACKLOG_MB sets how much memory they may wait in."
            )
        self._calm()

    def gone(self, reason: str) -> None:
        """Tell that the file has disappeared; `reason` says how, and with how many events."""
        self.news.append(
            f"{reason}. What is logged from now on goes to a new event file; do not delete or move "
            "the directory of a run that is being written."
        )

    def closed_badly(self, place: str | None, error: OSError) -> None:
        """Tell that close(2) failed: NFS reports there what the server refused, at the latest."""
        self.news.append(
            f"closing {place} failed: {error.strerror} (errno {error.errno}). Its last events may "
            "be lost: make room."
        )

    def _calm(self) -> None:
        self.refusing = False
        self._retry_at = 0.0
        self._retry_seconds = _FIRST_RETRY_SECONDS
