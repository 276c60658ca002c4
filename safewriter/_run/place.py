"""Where the events of a run go: to a local disk, to a directory with a scheme, or nowhere.

What differs between the three is here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from safewriter._disk.event_file import EventFile
from safewriter._disk.silent_file import SilentFile
from safewriter._errors import Notice
from safewriter._run.directory import has_events, is_remote
from safewriter._run.ending import Ending
from safewriter._run.lock import RunLock
from safewriter._run.request import RunRequest
from safewriter._store.remote_file import RemoteFile

File = EventFile | RemoteFile


class Lock(Protocol):
    """What a run needs of its lock; see :class:`RunLock`."""

    def acquire(self) -> list[Notice]:
        """Take it."""

    def renew(self) -> list[Notice]:
        """Take it anew."""

    def is_there(self) -> bool:
        """Tell whether it still is what was taken."""

    def release(self, ending: Ending) -> None:
        """Give it back."""

    def let_go(self) -> None:
        """Leave it to the parent, or behind."""


class _NoLock:
    def acquire(self) -> list[Notice]:
        return []

    renew = acquire

    def is_there(self) -> bool:
        return True

    def release(self, ending: Ending) -> None:
        pass

    def let_go(self) -> None:
        pass


class Place:
    """A directory on a local disk.

    Attributes:
        is_local: whether there is a directory that this process makes, locks and describes.
        is_silent: whether nothing is written at all.
    """

    is_local = True
    is_silent = False

    def lock(self, directory: str, comment: str) -> Lock:
        """Return the lock of a run."""
        return RunLock(directory, comment)

    def file(self, directory: str, request: RunRequest, on_look: Callable[[], None]) -> File:
        """Return the event file of a run or a series."""
        return EventFile(directory, request.suffix, on_look)

    def is_used(self, directory: str) -> bool:
        """Tell whether there are events already."""
        return has_events(directory)


class _Remote(Place):
    is_local = False

    def lock(self, directory: str, comment: str) -> Lock:
        return _NoLock()

    def file(self, directory: str, request: RunRequest, on_look: Callable[[], None]) -> File:
        return RemoteFile(directory, request.max_queue, request.flush_secs, request.suffix)

    def is_used(self, directory: str) -> bool:
        return False


class _Silent(Place):
    is_local = False
    is_silent = True

    def lock(self, directory: str, comment: str) -> Lock:
        return _NoLock()

    def file(self, directory: str, request: RunRequest, on_look: Callable[[], None]) -> File:
        return SilentFile(directory)

    def is_used(self, directory: str) -> bool:
        return False


_local, _remote, _silent = Place(), _Remote(), _Silent()


def place_of(request: RunRequest) -> Place:
    """Return where the run goes that `request` asks for."""
    if request.silent:
        return _silent
    return _remote if is_remote(request.log_dir) else _local
