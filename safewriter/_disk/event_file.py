"""How an event reaches the disk: one record, one write(2).

A record is in the kernel when :meth:`EventFile.append` returns. What the disk refuses waits in
memory and goes out later, in order, from the very byte where the write stopped; a byte once written
is never changed. This module knows no tags and no torch.

A signal handler or a finalizer may run wherever something is called, and it may log or raise. So a
change of state is a run of plain assignments between two calls, what is under way is remembered,
and after an exception the size of the file tells how much of it arrived.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable

from safewriter._disk import backlog as _backlog
from safewriter._disk import open_files as _descriptors
from safewriter._disk.file_names import OPEN_FLAGS, create_event_file, identity
from safewriter._disk.reports import Trouble, counted
from safewriter._errors import WriteErrorWarning, warn
from safewriter._tfrecord import frame, version_record

#: The file is no longer where we opened it: go on in a new one instead of waiting for it.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ESTALE, errno.ENXIO})

#: Seconds between two looks at whether the file is still where it was created.
_LOOK_SECONDS = 1.0


class EventFile:
    """The live event file of one directory, appended to by any number of threads.

    Created on the first :meth:`open` or :meth:`append`; after :meth:`close` the next append opens
    the same file again, or a later-named one if it is no longer there. `on_gone` is called when the
    file has disappeared, before another one is made: it may :meth:`move_to` another directory.
    """

    def __init__(
        self, directory: str, suffix: str = "", on_gone: Callable[[], None] | None = None
    ) -> None:
        self.directory = directory
        self._suffix = suffix
        self._on_gone = on_gone
        self._start()

    def _start(self) -> None:
        self._lock = threading.RLock()
        self.path: str | None = None
        self.events = 0
        self.lost = 0
        self._fd = -1
        self._identity: tuple[int, int] | None = None
        self._timestamp = -1
        # Bytes in the file, and how many of them are the backlog's current record.
        self._size = 0
        self._written = 0
        self._backlog = _backlog.Backlog()
        # Ready: the descriptor is open and nothing waits. Busy: this thread is in the middle of it.
        self._ready = False
        self._busy = False
        self._looked_at = self._look_at = 0.0
        self._trouble = Trouble()
        self._gone = False

    def open(self) -> None:
        """Create the file with its version record, unless there is one.

        Raises the ``OSError`` of the file system, and ``ValueError`` for a wrong setting.
        """
        _backlog.configure()
        with self._lock:
            if self._busy or self.path is not None:
                return
            self._create()
            self._advance(time.time())
        self._tell()

    def append(self, payload: bytes, now: float) -> None:
        """Write one event; `now` is the current time in seconds since the epoch."""
        record = frame(payload)
        size = len(record)
        with self._lock:
            backlog = self._backlog
            if self._ready and self._looked_at <= now < self._look_at:
                self._ready = False
                self._busy = True
                self._written = 0
                backlog.current = record
                try:
                    written = os.write(self._fd, record)
                    self._size += written
                    self._written = written
                    if written == size:
                        backlog.current = None
                        self.events += 1
                        if not backlog.waiting:
                            self._ready = True
                            return
                except OSError as error:
                    self._refused(error)
                finally:
                    self._busy = False
                    if not self._ready:
                        # A short write, a refusal, or a signal handler that logged or raised.
                        self._advance(now)
            elif self._busy:
                # A signal handler inside its own thread's work, which takes this along.
                backlog.add(record, at_any_price=not self._trouble.refusing)
                return
            else:
                self._advance(now, record)
        self._tell()

    def flush(self) -> None:
        """Try again at once what the disk has refused. Nothing else waits."""
        with self._lock:
            if self._busy:
                return
            if self._waits():
                self._trouble.try_at_once()
                self._advance(time.time())
        self._tell()

    def close(self, *, look: bool = True) -> None:
        """Write what waits, give up what the disk still refuses, and close the descriptor.

        `look` is whether to check first that the file is still where it was created: not at
        interpreter exit, when programs have tidied their temporary directories away.
        """
        self.flush()
        with self._lock:
            if self._busy:
                return  # A signal handler closes in the middle of a write, which goes on after it.
            try:
                self._busy = True
                if look:
                    self._look(time.time())
                self._give_up()
                self._close_descriptor()
            finally:
                self._busy = False
                if self._waits():
                    self._advance(time.time())
        self._tell()

    def move_to(self, directory: str) -> None:
        """Go on in a new file in another directory, with what waits."""
        with self._lock:
            self._close_descriptor()
            self.path = None
            self.directory = directory

    def release_descriptor(self) -> bool:
        """Close the descriptor if nothing is under way; the next append opens it again."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._busy:
                return False
            self._close_descriptor()
            return True
        finally:
            self._lock.release()

    def after_fork(self) -> None:
        """In a forked child: let go of the parent's file and of what waits for it."""
        fd = self._fd
        self._start()
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)

    # What follows is called with the lock held.

    def _waits(self) -> bool:
        return self._backlog.current is not None or bool(self._backlog.waiting)

    def _advance(self, now: float, record: bytes | None = None) -> None:
        """Write what waits, and `record` behind it, as far as the disk takes it."""
        backlog, trouble = self._backlog, self._trouble
        try:
            self._busy = True
            if record is not None:
                backlog.add(record, at_any_price=not trouble.refusing)
                trouble.delayed += trouble.refusing
            if not self._looked_at <= now < self._look_at:
                self._look(now)
            if not self._gone and trouble.may_try():
                self._drain()
        except OSError as error:
            self._refused(error)
        finally:
            self._busy = False
            backlog.settle()

    def _drain(self) -> None:
        backlog = self._backlog
        if self._fd < 0:
            if not self._waits():
                return
            self._open()
        elif backlog.current is not None:
            self._account()
        while not self._gone:
            if backlog.current is None:
                if not backlog.waiting:
                    # At once: a signal handler that logs from here on has to write by itself.
                    self._ready = True
                    self._busy = False
                    break
                self._written = 0
                backlog.next()
            assert backlog.current is not None
            written = os.write(self._fd, memoryview(backlog.current)[self._written :])
            self._size += written
            self._written += written
            self._commit()
        if self._trouble.refusing and self._ready:
            lost, backlog.dropped = backlog.dropped, 0
            self.lost += lost
            self._trouble.accepted(self._place(), lost)

    def _commit(self) -> None:
        record = self._backlog.current
        if record is not None and self._written == len(record):
            self._backlog.current = None
            self.events += 1

    def _account(self) -> None:
        """Find out how much arrived of a record whose write was cut short by an exception."""
        record = self._backlog.current
        missing = 0 if record is None else len(record) - self._written
        extra = os.fstat(self._fd).st_size - self._size
        if 0 <= extra <= missing:
            self._size += extra
            self._written += extra
            self._commit()
        else:
            self._lose_sight(f"{self.path} was changed by somebody else")

    def _open(self) -> None:
        """Open the file again, or create one."""
        if self.path is None:
            self._create()
            return
        try:
            self._fd = os.open(self.path, OPEN_FLAGS)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self._lose_sight(self._went_away())
            return
        if identity(os.fstat(self._fd)) != self._identity:
            self._lose_sight(self._went_away())
            return
        _descriptors.opened(self)
        self._account()

    def _create(self) -> None:
        os.makedirs(self.directory, exist_ok=True)
        if self.events >= 0:
            # It was under way in an earlier file, and goes to this one whole.
            self._backlog.put_back()
        version = version_record()
        file = create_event_file(self.directory, self._suffix, after=self._timestamp)
        self._fd, self.path, self._timestamp, self._identity = file
        self._size = self._written = 0
        # The version record is no event of the user's: with it there are 0.
        self._backlog.current = version
        self.events = -1
        self._looked_at = time.time()
        self._look_at = self._looked_at + _LOOK_SECONDS
        _descriptors.opened(self)

    def _look(self, now: float) -> None:
        """Notice that the file was deleted, moved, renamed or replaced."""
        self._looked_at = now
        self._look_at = now + _LOOK_SECONDS
        if self._fd < 0 or self.path is None:
            return
        try:
            here = os.fstat(self._fd)
            if identity(here) != self._identity:
                self._disown_descriptor()
            elif here.st_nlink == 0:
                self._lose_sight(
                    f"{self.path} was deleted, and with it {counted(max(self.events, 0))}"
                )
            elif identity(os.stat(self.path)) != self._identity:
                self._lose_sight(self._went_away())
        except OSError as error:
            if error.errno == errno.EBADF:
                self._disown_descriptor()
            elif error.errno in _GONE:
                self._lose_sight(self._went_away())
            elif error.errno is None:
                raise  # by a signal handler

    def _went_away(self) -> str:
        return (
            f"{self.path} is no longer there: it was deleted, moved, renamed or replaced, and with "
            f"it {counted(max(self.events, 0))}"
        )

    def _lose_sight(self, reason: str) -> None:
        """Be without a file, until `on_gone` was called."""
        self._close_descriptor(quietly=True)
        self.path = None
        self._gone = True
        self._trouble.gone(reason)

    def _refused(self, error: OSError) -> None:
        if error.errno is None:
            raise error  # Not the disk's: a signal handler raised it, TimeoutError for example.
        self._ready = False
        if error.errno == errno.EBADF:
            self._disown_descriptor()
            return
        if error.errno in _GONE and self._fd >= 0:
            self._lose_sight(self._went_away())
            return
        waiting = self._count_waiting()
        self._trouble.refused(self._place(), error.errno, waiting, _backlog.limit_in_words())

    def _count_waiting(self) -> int:
        # Below zero: the version record is the current one.
        current = self._backlog.current is not None and self.events >= 0
        return len(self._backlog.waiting) + current

    def _give_up(self) -> None:
        lost = self._count_waiting() + self._backlog.dropped
        self.lost += lost
        self._trouble.gave_up(self._place(), lost)
        if self._backlog.current is not None:
            self.path = None  # It ends in the middle of a record: nothing may follow there.
        self._backlog.give_up()

    def _place(self) -> str:
        return self.path or self.directory

    def _disown_descriptor(self) -> None:
        """Somebody closed our descriptor; its number may be another file's by now."""
        self._ready = False
        self._fd = -1
        _descriptors.closed(self)

    def _close_descriptor(self, *, quietly: bool = False) -> None:
        fd = self._fd
        self._disown_descriptor()
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as error:
                if error.errno is None:
                    raise  # by a signal handler
                if not quietly:
                    self._trouble.closed_badly(self.path, error)

    def _tell(self) -> None:
        """Warn, and report that the file is gone, without the lock: both may run other code."""
        if self._gone:
            try:
                if self._on_gone is not None:
                    self._on_gone()
            finally:
                self._gone = False
                with self._lock:
                    if not self._busy:
                        self._trouble.try_at_once()
                        self._advance(time.time())
        while True:
            with self._lock:
                if not self._trouble.news:
                    return
                message = self._trouble.news.pop(0)
            warn(WriteErrorWarning, message)


class SilentFile(EventFile):
    """An event file that is never made: that of a rank which is told to be silent."""

    def open(self) -> None:
        """Do nothing."""

    def append(self, payload: bytes, now: float) -> None:
        """Do nothing."""
