"""How a run stands, told from the record and the lock that its writer keeps in ``.safewriter``."""

from __future__ import annotations

import enum
import errno
import json
import os
from typing import Any

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

    The keys are ``pid``, ``host``, ``argv``, ``cwd``, ``versions``, ``start`` and ``end`` (seconds
    since the epoch; ``end`` is None while the run goes on) and ``status`` (``running``,
    ``finished`` or ``failed``). They come from ``.safewriter/run.json``; a file that holds no JSON
    object counts as none.

    Raises:
        OSError: The record is there but cannot be read.
    """
    try:
        with open(os.path.join(directory, ".safewriter", "run.json"), "rb") as file:
            record = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def run_status(directory: StrPath) -> RunStatus:
    """Return how the run in a directory stands.

    Nothing is created or changed. Where the record says that the run goes on, its lock is tried
    without waiting, and given back at once if nobody holds it.

    Raises:
        OSError: The record is there but cannot be read.
    """
    status = (run_record(directory) or {}).get("status")
    if status == "finished":
        return RunStatus.FINISHED
    if status == "failed":
        return RunStatus.FAILED
    if status != "running":
        return RunStatus.UNKNOWN
    held = _is_held(os.path.join(directory, ".safewriter", "lock"))
    if held is None:
        return RunStatus.UNKNOWN
    return RunStatus.RUNNING if held else RunStatus.CRASHED


def _is_held(lock: str) -> bool | None:
    """Return whether a process holds the lock file; None where the system cannot tell."""
    try:
        import fcntl
    except ImportError:  # no flock: Windows
        return None
    try:
        # Not blocking: the open of a FIFO, or of a file with a lease on it, would wait.
        descriptor = os.open(lock, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        # Shared, so that two who look at the same moment do not take each other for the writer.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return True if error.errno in (errno.EAGAIN, errno.EACCES) else None
    finally:
        os.close(descriptor)  # and the lock goes with it
    return False
