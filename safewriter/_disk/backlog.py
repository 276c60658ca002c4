"""What waits for a disk that refuses: records in memory, in order, within one bound."""

from __future__ import annotations

import math
import os
import threading
from collections import deque

#: Mebibytes that may wait in a process, unless ``SAFEWRITER_BACKLOG_MB`` says otherwise.
DEFAULT_MB = 64.0

#: What Python needs for a waiting record beside its bytes: the object and its place in the queue.
_OVERHEAD = 48


def limit_in_bytes() -> float:
    """Return how many bytes may wait in this process.

    Raises ``ValueError`` if ``SAFEWRITER_BACKLOG_MB`` is not a number of mebibytes from 0 on.
    """
    setting = os.environ.get("SAFEWRITER_BACKLOG_MB")
    if not setting:
        return DEFAULT_MB * 2**20
    try:
        megabytes = float(setting)
    except ValueError:
        megabytes = math.nan
    if not megabytes >= 0:
        raise ValueError(
            f"SAFEWRITER_BACKLOG_MB is {setting!r}, but must be the mebibytes of memory in which "
            "events may wait for a disk that refuses them: a number, 0 or more"
        )
    return megabytes * 2**20


class _Memory:
    """The bound, and what the backlogs of all event files hold together."""

    def __init__(self, limit: float) -> None:
        # Reentrant: a signal handler may log while its thread is in here.
        self._lock = threading.RLock()
        self._held = 0
        self.limit = limit

    def hold(self, backlog: Backlog, size: int, *, at_any_price: bool = False) -> bool:
        """Let `backlog` hold `size` bytes in all; False if that is more and there is no room.

        It is told how many, not how many more: what an exception leaves wrong is mended next time.
        """
        with self._lock:
            total = self._held + size - backlog.held
            if total > self.limit and size > backlog.held and not at_any_price:
                return False
            self._held = total
            backlog.held = size
            return True


_memory = _Memory(DEFAULT_MB * 2**20)


def configure() -> None:
    """Read the setting. Raises what :func:`limit_in_bytes` raises."""
    _memory.limit = limit_in_bytes()


def limit_in_words() -> str:
    """Return the bound for a message."""
    return f"{_memory.limit / 2**20:g} MiB"


def _after_fork() -> None:
    # Another thread may have held the lock at the moment of the fork.
    global _memory
    _memory = _Memory(_memory.limit)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Backlog:
    """The records of one event file that are not on the disk yet, oldest first.

    The first one may be `current`: its write has begun.
    """

    def __init__(self) -> None:
        self.current: bytes | None = None
        self.waiting: deque[bytes] = deque()
        self.dropped = 0
        # Counted by _Memory.
        self.held = 0
        self._bytes = 0

    def add(self, record: bytes, *, at_any_price: bool) -> None:
        """Queue a record, or count it as dropped if it does not fit."""
        size = len(record) + _OVERHEAD
        if _memory.hold(self, self._size() + size, at_any_price=at_any_price):
            self._bytes += size
            self.waiting.append(record)
        else:
            self.dropped += 1

    def next(self) -> None:
        """Make the oldest waiting record the current one."""
        size = len(self.waiting[0]) + _OVERHEAD
        self.current = self.waiting[0]
        self._bytes -= size
        self.waiting.popleft()

    def put_back(self) -> None:
        """Queue the current record again, as the oldest."""
        if self.current is not None:
            self._bytes += len(self.current) + _OVERHEAD
            self.waiting.appendleft(self.current)
            self.current = None

    def settle(self) -> None:
        """Have counted what waits now. The current record is kept whatever its size."""
        _memory.hold(self, self._size(), at_any_price=True)

    def give_up(self) -> None:
        """Forget everything."""
        fresh: deque[bytes] = deque()
        self.current = None
        self.waiting = fresh
        self.dropped = 0
        self._bytes = 0
        self.settle()

    def _size(self) -> int:
        current = self.current
        return self._bytes + (0 if current is None else len(current) + _OVERHEAD)
