"""Who writes a run: one live process per directory, and what it says about itself.

On systems with flock(2) the lock is taken here and not by filelock: its acquire cannot be
interrupted at any instant without losing the descriptor, it needs write access to a lock file that
another user made, and it keeps its descriptor low and closes it without a look whose it is by now.
Elsewhere filelock does it; the lock is the same one that ``filelock.FileLock`` takes.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import platform
import sys
import time
from importlib import metadata
from typing import Any

from filelock import FileLock, Timeout

from safewriter._disk.open_files import Descriptor, DiskErrorsIgnored, identity
from safewriter._errors import Notice, UnlockedRunWarning
from safewriter._run import sigterm
from safewriter._run.ending import Ending
from safewriter._run.process import this_process
from safewriter._run.record import (
    HIDDEN,
    NO_LINKS,
    NOT_A_FILE,
    Folder,
    Record,
    hidden_folder,
    masked,
    read_record,
    write_record,
)

try:
    import fcntl

    _HAS_FLOCK = True
except ImportError:  # Windows
    _HAS_FLOCK = False

_NAME = "lock"

# Some network file systems say EACCES for a lock that somebody holds.
_HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES})


# The folder was deleted or renamed a moment ago.
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, None})

_MOST_TRIES = 10


class HeldError(Exception):
    """Another process holds the lock at this moment."""


class RunLock:
    """The lock and the record of one run directory, in its hidden folder.

    Every method may be called again after it was interrupted, and then completes what it began.
    """

    def __init__(self, directory: str, comment: str = "") -> None:
        self.directory = directory
        self._comment = comment
        self._path = os.path.join(directory, HIDDEN, _NAME)
        self._descriptor = Descriptor()
        self._filelock: Any = None
        self._unlockable = False
        self._session: Record | None = None
        # The sessions before ours; what they are cannot change while the lock is held.
        self._earlier: list[Record] = []

    def acquire(self) -> list[Notice]:
        """Take the lock without waiting, and write the record of a running run.

        Returns what is to be told: an :class:`UnlockedRunWarning` where the file system cannot
        lock. Raises :class:`HeldError` if another process holds the lock, and ``OSError`` if the
        hidden folder cannot be made.
        """
        notices: list[Notice] = []
        with hidden_folder(self.directory, make=True) as folder:
            try:
                self._lock(folder)
            except OSError as error:
                if error.errno in NOT_A_FILE or error.errno in _NOT_THERE:
                    raise  # Somebody put a link or a pipe there, or took the folder away.
                # ENOLCK, ENOTSUP, EROFS, ENOSYS, or a lock file that may not even be read.
                if not self._unlockable:
                    self._unlockable = True
                    notices.append(
                        Notice(
                            UnlockedRunWarning,
                            f"{self.directory!r} cannot be locked ({error.strerror or error}), so "
                            "a second writer would not be noticed. Make sure that only one process "
                            "writes it.",
                        )
                    )
            self._write_start(folder)
        return notices

    def _lock(self, folder: Folder) -> None:
        if not _HAS_FLOCK:
            lock = self._filelock = FileLock(self._path, thread_local=False, fallback_to_soft=False)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                raise HeldError from None
            return
        for _ in range(_MOST_TRIES):
            if not self._descriptor.is_ours():
                self._descriptor.close()
                self._descriptor = _opened(folder)
            number = self._descriptor.number
            if number < 0:
                continue  # A signal handler closed the run in between.
            try:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                self._descriptor.close()
                if error.errno in _HELD:
                    raise HeldError from None
                if error.errno != errno.EBADF:
                    raise
            if self.is_there():
                return
            self._descriptor.close()  # It was deleted or replaced meanwhile.
        # Such as a directory that was renamed while its hidden folder is open here.
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), self._path)

    def release(self, ending: Ending) -> None:
        """Write the run's end into the record, if it still is ours, and let go of the lock."""
        session = self._session
        if session is not None:
            session.update(end=time.time(), **ending.as_fields())
            if not self._unlockable and self.is_there():
                self._write([*self._earlier, session])
            else:
                self._write_if_ours(session)
            sigterm.unmark(self.directory, session["token"])
            self._session = None
        if _HAS_FLOCK and self._descriptor.is_ours():
            # Not by closing alone: a forked child may keep a copy of the descriptor.
            with contextlib.suppress(ValueError), DiskErrorsIgnored():
                fcntl.flock(self._descriptor.number, fcntl.LOCK_UN)
        with DiskErrorsIgnored():
            self._descriptor.close()
        lock, self._filelock = self._filelock, None
        if lock is not None:
            with DiskErrorsIgnored():
                lock.release()

    def let_go(self) -> None:
        """Close the descriptor, and nothing else: the run is elsewhere, or it is the parent's.

        In a forked child, the run would stay locked by it when the parent has ended.
        """
        with DiskErrorsIgnored():
            self._descriptor.close()

    def is_there(self) -> bool:
        """Tell whether the lock file is still the one that was locked."""
        if self._unlockable:
            return True
        if not _HAS_FLOCK:
            return os.path.exists(self._path)
        try:
            there = identity(os.stat(self._path, follow_symlinks=False))
        except OSError as error:
            if error.errno is None:
                raise  # by a signal handler
            return False
        return there == self._descriptor.identity and self._descriptor.is_ours()

    def renew(self) -> list[Notice]:
        """Lock and describe the directory anew: it was deleted, renamed or made again.

        Raises what :meth:`acquire` raises.
        """
        with DiskErrorsIgnored():
            self._descriptor.close()
        return self.acquire()

    def _write_start(self, folder: Folder) -> None:
        process = this_process()
        session = self._session
        if session is None:
            session = {
                "token": process.token,
                "pid": process.pid,
                "host": process.host,
                "boot": process.boot,
                "argv": masked([str(argument) for argument in sys.argv]),
                "cwd": _cwd(),
                "versions": _versions(),
                "start": time.time(),
                "end": None,
                "status": "running",
            }
            self._session = session
        earlier = [] if folder.is_new else self._sessions(folder)
        if earlier and earlier[-1].get("token") == session["token"]:
            # This process closed the run and opens it again: it is one session.
            session["start"] = earlier.pop().get("start", session["start"])
        if earlier:
            # What it said is in the list now.
            sigterm.unmark_of(earlier[-1].get("token", ""), folder)
        self._earlier = earlier
        self._write([*earlier, session], folder)
        sigterm.mark(self.directory, folder, session["token"])

    def _write_if_ours(self, session: Record) -> None:
        """Write the end, unless another process took the directory over: then the record is its."""
        sessions = self._sessions()
        if sessions and sessions[-1].get("token") == session["token"]:
            self._write([*sessions[:-1], session])

    def _sessions(self, folder: Folder | None = None) -> list[Record]:
        try:
            record = read_record(self.directory, folder) or {"sessions": []}
        except OSError as error:
            if error.errno is None:
                raise  # by a signal handler
            return []
        return [session for session in record["sessions"] if session]

    def _write(self, sessions: list[Record], folder: Folder | None = None) -> None:
        # Nothing of the run depends on its record: where it cannot be written, training goes on.
        with DiskErrorsIgnored():
            record = {"path": self.directory, "comment": self._comment, "sessions": sessions}
            write_record(self.directory, record, folder)


def _opened(folder: Folder) -> Descriptor:
    """Open the lock file; for reading only if it is another user's: that is enough to lock it."""
    # A fresh one: what a signal handler closes meanwhile is not it.
    descriptor, path = Descriptor(), folder.prefix + _NAME
    try:
        descriptor.open(path, os.O_RDWR | os.O_CREAT | NO_LINKS, dir_fd=folder.number)
    except PermissionError:
        descriptor.open(path, os.O_RDONLY | NO_LINKS, dir_fd=folder.number)
    return descriptor


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
