"""How many descriptors the event files of this process keep open."""

from __future__ import annotations

import os
import threading
from typing import Protocol

_MOST = 256


class Closable(Protocol):
    """A file that can do without its descriptor."""

    def release_descriptor(self) -> bool:
        """Close the descriptor, unless the file is in use at this moment."""


class _Descriptors:
    """The open files; above the bound, the one that has been open longest is closed first."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: dict[Closable, None] = {}

    def opened(self, file: Closable) -> None:
        with self._lock:
            self._open[file] = None
            excess = len(self._open) - limit()
            for other in list(self._open)[: max(excess, 0)]:
                # It does not wait for the other's lock, whose holder may be waiting for ours.
                if other is not file and other.release_descriptor():
                    self._open.pop(other, None)

    def closed(self, file: Closable) -> None:
        with self._lock:
            self._open.pop(file, None)


_descriptors = _Descriptors()


def limit() -> int:
    """Return a quarter of what the process may open, at most 256: the rest is the user's."""
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (ImportError, OSError):
        return _MOST // 2
    return max(4, min(_MOST, soft // 4)) if soft > 0 else _MOST


def opened(file: Closable) -> None:
    """Count a file that was opened, and close others above the bound."""
    _descriptors.opened(file)


def closed(file: Closable) -> None:
    """Forget a file that was closed."""
    _descriptors.closed(file)


def _after_fork() -> None:
    # Another thread may have held the lock at the moment of the fork.
    global _descriptors
    _descriptors = _Descriptors()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
