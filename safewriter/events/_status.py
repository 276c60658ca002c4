"""How a run stands, told from the record and the lock that its writer keeps in ``.safewriter``."""

from __future__ import annotations

import enum
import errno
import os
from typing import Any

from safewriter._run.record import HIDDEN, NO_LINKS, read_record

from ._records import StrPath


class RunStatus(str, enum.Enum):
    """How a run stands."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    """It ended with an exception."""
    CRASHED = "crashed"
    """It never said that it ended, and no process holds its lock any more."""
    UNKNOWN = "unknown"
    """It has no record (another writer made it), or nothing can tell who holds its lock."""


def run_record(directory: StrPath) -> dict[str, Any] | None:
    """Return what ``SafeSummaryWriter`` noted about the run in a directory, or None if it did not.

    The keys are ``path``, ``comment`` and ``sessions``: one object for each process that wrote the
    run, oldest first, with ``token`` (random), ``pid``, ``host``, ``boot``, ``argv`` (secrets
    masked), ``cwd``, ``versions``, ``start`` and ``end`` (seconds since the epoch; ``end`` is None
    while the run goes on) and ``status`` (``running``, ``finished`` or ``failed``). The fields of
    the last session stand beside them as well. They come from ``.safewriter/run.json``; a file that
    holds no JSON object counts as none, and a field of a wrong type is left out.

    Raises:
        OSError: The record is there but cannot be read.
    """
    return read_record(directory)


def run_status(directory: StrPath) -> RunStatus:
    """Return how the run in a directory stands.

    Nothing is created or changed. Where the record says that the run goes on, its lock is tried
    without waiting, and given back at once if nobody holds it.

    Raises:
        OSError: The record is there but cannot be read.
    """
    status = (run_record(directory) or {}).get("status")
    if status in ("finished", "failed"):
        return RunStatus(status)
    if status != "running":
        return RunStatus.UNKNOWN
    return _told_by_lock(os.path.join(directory, HIDDEN, "lock"))


def _told_by_lock(lock: str) -> RunStatus:
    """Return how a run stands that never said that it ended."""
    try:
        import fcntl
    except ImportError:  # no flock: Windows
        return RunStatus.UNKNOWN
    try:
        # Not blocking: the open of a FIFO, or of a file with a lease on it, would wait.
        descriptor = os.open(lock, os.O_RDONLY | NO_LINKS)
    except FileNotFoundError:
        return RunStatus.CRASHED
    except OSError:
        return RunStatus.UNKNOWN
    try:
        # Shared, so that two who look at the same moment do not take each other for the writer.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        is_held = error.errno in (errno.EAGAIN, errno.EACCES)
        return RunStatus.RUNNING if is_held else RunStatus.UNKNOWN
    finally:
        os.close(descriptor)  # and the lock goes with it
    return RunStatus.CRASHED
