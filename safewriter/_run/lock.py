"""Who writes a run: one live process per directory, and what it says about itself."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import socket
import sys
import time
from importlib import metadata
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from safewriter._errors import RunLockedError, UnlockedRunWarning, warn
from safewriter._run.directory import HIDDEN

_INSTANT_SECONDS = 0.2

#: How long a process that was refused waits for the holder to write down who it is.
_HOLDER_SECONDS = 2.0


class RunLock:
    """The lock and the record of one run directory, in its hidden folder."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.path = os.path.join(directory, HIDDEN, "lock")
        self._lock: BaseFileLock | None = None
        self._identity: tuple[int, int] | None = None
        self._record: dict[str, Any] = {}

    def acquire(self) -> None:
        """Take the lock without waiting, and write the record of a running run.

        Raises :class:`RunLockedError` if another process holds it, and ``OSError`` if the hidden
        folder cannot be made. Where the file system cannot lock: :class:`UnlockedRunWarning`.
        """
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        # thread_local=False: the writer may be closed by another thread than the one that made it.
        # A soft lock would outlive a killed process, so no lock is better than that.
        lock = FileLock(self.path, thread_local=False, fallback_to_soft=False)
        try:
            # Whoever asks how the run stands holds the lock for an instant; a writer keeps it.
            lock.acquire(timeout=_INSTANT_SECONDS, poll_interval=_INSTANT_SECONDS / 20)
        except Timeout:
            raise RunLockedError(
                f"{self.directory!r} is being written by {self._holder()}. Two writers would hide "
                "each other's points in TensorBoard: use another log_dir, leave unique=True, or "
                "end the other process."
            ) from None
        except OSError as error:
            # ENOLCK, ENOTSUP, EROFS, ENOSYS, or a lock file of another user.
            warn(
                UnlockedRunWarning,
                f"{self.directory!r} cannot be locked ({error.strerror or error}), so a second "
                "writer would not be noticed. Make sure that only one process writes it.",
            )
        else:
            self._lock = lock
            self._identity = _identity(self.path)
        self._write_record(
            pid=os.getpid(),
            host=socket.gethostname(),
            argv=list(sys.argv),
            cwd=_cwd(),
            versions=_versions(),
            start=time.time(),
            end=None,
            status="running",
        )

    def release(self, status: str) -> None:
        """Write the run's end into the record and let go of the lock."""
        self._write_record(end=time.time(), status=status)
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):
                lock.release()

    def is_there(self) -> bool:
        """Tell whether the lock file is still the one that was locked."""
        return self._identity is not None and _identity(self.path) == self._identity

    def renew(self) -> None:
        """Lock and describe the directory anew: it was deleted or renamed, and made again."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                self._lock.release()
            self._lock = None
        self.acquire()

    def _write_record(self, **fields: Any) -> None:
        # Nothing of the run depends on its record: where it cannot be written, training goes on.
        self._record.update(fields)
        path = os.path.join(self.directory, HIDDEN, "run.json")
        temporary = f"{path}.{os.getpid()}"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(self._record, file, indent=1, default=str)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def _holder(self) -> str:
        """Name pid, host and start of the process that holds the lock."""
        from safewriter.events import run_record

        deadline = time.monotonic() + _HOLDER_SECONDS
        while True:
            try:
                record = run_record(self.directory)
            except OSError:
                record = None
            # A record that is not of a running process is the predecessor's: the holder has the
            # lock, but has not written its own yet.
            if record and record.get("status") == "running" and _may_live(record):
                start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record["start"]))
                return f"process {record['pid']} on {record['host']} since {start}"
            if time.monotonic() > deadline:
                return "another process"
            time.sleep(0.01)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _may_live(record: dict[str, Any]) -> bool:
    if record.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(record["pid"]), 0)
    except ProcessLookupError:
        return False
    except (OSError, KeyError, TypeError, ValueError, OverflowError):
        pass
    return True


def _cwd() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # the current directory was deleted
        return None


@functools.cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in ("torch-safewriter", "torch", "tensorboard"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
