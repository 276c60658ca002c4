"""What waits for a disk that refuses: records in memory, in order, within one bound."""

from __future__ import annotations

import math
import os
from collections import deque

from safewriter._errors import ArgumentValueError

#: Mebibytes that may wait in a process, unless ``SAFEWRITER_BACKLOG_MB`` says otherwise.
DEFAULT_MB = 64.0

#: What Python needs for a waiting record beside its bytes: the object and its place in the queue.
_OVERHEAD = 48


def limit_in_bytes() -> float:
    """Return how many bytes may wait in this process.

    Raises :class:`ArgumentValueError` if ``SAFEWRITER_BACKLOG_MB`` is not a number of mebibytes
    from 0 on.
    """
    setting = os.environ.get("SAFEWRITER_BACKLOG_MB")
    if not setting:
        return DEFAULT_MB * 2**20
    try:
        megabytes = float(setting)
    except ValueError:
        megabytes = math.nan
    if not megabytes >= 0:
        raise ArgumentValueError(
            f"SAFEWRITER_BACKLOG_MB is {setting!r}, but must be the mebibytes of memory in which "
            "events may wait for a disk that refuses them: a number, 0 or more",
            argument="SAFEWRITER_BACKLOG_MB",
        )
    return megabytes * 2**20


_limit = DEFAULT_MB * 2**20

# What each backlog holds. Without a lock, since it is asked for under a file's lock, and a signal
# handler may log to another file meanwhile: two threads at once may exceed the bound by a record.
_held: dict[Backlog, int] = {}


def configure() -> None:
    """Read the setting. Raises what :func:`limit_in_bytes` raises."""
    global _limit
    _limit = limit_in_bytes()


def limit_in_words() -> str:
    """Return the bound for a message."""
    return f"{_limit / 2**20:g} MiB"


def after_fork() -> None:
    """In a forked child: what waits is the parent's."""
    _held.clear()


class Backlog:
    """The records of one event file that are not on the disk yet, oldest first.

    Its file's lock protects it.
    """

    def __init__(self) -> None:
        self.waiting: deque[bytes] = deque()
        self.dropped = 0

    def takes(self, size: int, *, at_any_price: bool) -> bool:
        """Tell whether a record of `size` bytes may wait; one that does not fit is dropped."""
        if at_any_price:
            return True
        size += _OVERHEAD
        if sum(list(_held.values())) + size > _limit:
            self.dropped += 1
            return False
        _held[self] = _held.get(self, 0) + size
        return True

    def empty(self) -> int:
        """Forget everything; return how many records are lost with it."""
        fresh: deque[bytes] = deque()
        waiting, self.waiting = self.waiting, fresh
        dropped, self.dropped = self.dropped, 0
        self.settle()
        return len(waiting) + dropped

    def settle(self) -> None:
        """Give the memory back that nothing waits in any more."""
        if not self.waiting:
            _held.pop(self, None)
