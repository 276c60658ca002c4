"""The descriptors of this process that are ours: owned from birth, kept high, bounded, compared.

No lock guards the table of open files: each access is one operation of a dict, which Python makes
atomic. With a lock of its own a signal handler that logs while its thread holds that lock would
wait for a file whose thread waits for the table.
"""

from __future__ import annotations

import errno
import os
from functools import partial
from types import TracebackType
from typing import Protocol

try:
    import fcntl
    import resource

    _IS_POSIX = True
except ImportError:  # Windows
    _IS_POSIX = False

_MOST = 256

# A program that closes "all" descriptors, and every open(2) of the user's, begins at the lowest.
_HIGHEST_START = 4096

_Identity = tuple[int, int]


def identity(status: os.stat_result) -> _Identity:
    """Return what tells a file from every other one."""
    return status.st_dev, status.st_ino


class DiskErrorsIgnored:
    """Ignore what the disk says in a ``with``, but never what a signal handler raises.

    An ``OSError`` of the system has a number; a handler's ``TimeoutError``, for one, has none.
    """

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> bool:
        return isinstance(exc_val, OSError) and exc_val.errno is not None


class Descriptor:
    """One descriptor of ours, or none; it is closed only while it still is the file we opened."""

    __slots__ = ("_numbers", "identity")

    def __init__(self) -> None:
        # A list, filled by C code: a signal handler that raises right behind open(2) would
        # otherwise lose the number before anything could remember it.
        self._numbers: list[int] = []
        self.identity: _Identity | None = None

    @property
    def number(self) -> int:
        """The descriptor, or -1."""
        return self._numbers[-1] if self._numbers else -1

    def open(
        self,
        path: str,
        flags: int,
        mode: int = 0o666,
        *,
        dir_fd: int | None = None,
        high: bool = True,
    ) -> None:
        """Open `path`; `high` is for what stays open. Raises ``OSError``."""
        flags |= getattr(os, "O_CLOEXEC", 0)
        self._numbers.extend(map(partial(os.open, path, flags, dir_fd=dir_fd), (mode,)))
        self.identity = identity(os.fstat(self.number))
        if high:
            self._lift()

    def _lift(self) -> None:
        """Give the file a high number; where there is none left it keeps its own."""
        if not _IS_POSIX:
            return
        low = self._numbers[0]
        with DiskErrorsIgnored():
            self._numbers.extend(
                map(fcntl.fcntl, (low,), (fcntl.F_DUPFD_CLOEXEC,), (_lowest_number(),))
            )
            self._close(0)

    def is_ours(self) -> bool:
        """Tell whether the number still is the file that was opened."""
        return _is(self.number, self.identity)

    def close(self) -> None:
        """Let go of the descriptor, closed if it is ours; raises the ``OSError`` of that."""
        while self._numbers:
            if self.identity is None or self.is_ours():
                self._close(-1)
            else:
                del self._numbers[-1:]

    def _close(self, index: int) -> None:
        # Closed and forgotten in one step of C code. What a signal handler's exception would leave
        # in the list may be the number, by then, of the same file opened again.
        try:
            list(map(os.close, map(self._numbers.pop, (index,))))
        except IndexError:  # A handler was quicker.
            return

    def __del__(self) -> None:
        while True:
            try:
                self.close()
                return
            except AttributeError:  # It was not made to its end.
                return
            except BaseException as error:  # a signal handler's: none of it may leave a file open
                if isinstance(error, OSError) and error.errno is not None:
                    return


def _is(number: int, known: _Identity | None) -> bool:
    try:
        return identity(os.fstat(number)) == known
    except OSError as error:
        if error.errno is None:
            raise  # by a signal handler
        return error.errno != errno.EBADF and number >= 0


def limit() -> int:
    """Return a quarter of what the process may open, at most 256: the rest is the user's."""
    soft = _soft_limit()
    return _MOST if soft is None else max(4, min(_MOST, soft // 4))


def _lowest_number() -> int:
    soft = _soft_limit()
    return _HIGHEST_START if soft is None else min(soft // 2, _HIGHEST_START)


def _soft_limit() -> int | None:
    if not _IS_POSIX:
        return 2 * _MOST
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft > 0 else None


class Closable(Protocol):
    """A file that can do without its descriptor."""

    def release_descriptor(self) -> None:
        """Close the descriptor, unless the file is in use at this moment."""

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's file."""


_open_files: dict[Closable, None] = {}


def opened(file: Closable) -> None:
    """Count a file that was opened; above the bound, close those that have been open longest."""
    _open_files[file] = None
    for other in list(_open_files)[: max(len(_open_files) - limit(), 0)]:
        if other is not file:
            other.release_descriptor()


def closed(file: Closable) -> None:
    """Forget a file that was closed."""
    _open_files.pop(file, None)


def after_fork() -> None:
    """In a forked child: close the parent's files; only those that are open have to be visited."""
    for file in list(_open_files):
        file.after_fork()
    _open_files.clear()
