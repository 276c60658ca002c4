"""How an event reaches the disk: frame, checksum, one write(2).

A record is in the kernel when :meth:`EventFile.append` returns. What the disk refuses waits in
memory and goes out later, in order, from the very byte where the write stopped; a byte once written
is never changed. This module knows no tags and no torch.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable

from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event, SourceMetadata
from tensorboard.summary.writer import event_file_writer

from ._errors import WriteErrorWarning, warn

_CRC = struct.Struct("<I")
_OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

#: The file is no longer where we opened it: go on in a new one instead of waiting for it.
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ESTALE, errno.ENXIO})

#: Seconds between two looks at whether the file is still where it was created.
_LOOK_SECONDS = 1.0
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 5.0

# A tracker may have put a subclass under the name already: it hooks, this is what it extends.
_TENSORBOARDS = next(
    base
    for base in event_file_writer.EventFileWriter.__mro__
    if base.__module__ == event_file_writer.__name__
)

#: Protobuf cannot parse a message of 2 GiB or more, so no reader could read it back.
MAX_EVENT_BYTES = 2**31 - 1


def _masked(crc: int) -> int:
    """Mask a CRC-32C as the TFRecord format asks."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


_headers: dict[int, bytes] = {}


def frame(payload: bytes) -> bytes:
    """Frame a payload as a TFRecord: length, CRC of the length, payload, CRC of the payload."""
    size = len(payload)
    header = _headers.get(size)
    if header is None:
        length = struct.pack("<Q", size)
        header = length + _CRC.pack(_masked(crc32c(length)))
        if len(_headers) < 4096:
            _headers[size] = header
    crc = crc32c(payload)
    # The mask is written out again here: a call would cost as much as the checksum.
    return header + payload + _CRC.pack((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def newest_timestamp(directory: str) -> int:
    """Return the largest timestamp in the names of the event files in `directory`, or -1."""
    newest = -1
    for name in os.listdir(directory):
        _, found, rest = name.partition("tfevents.")
        if found:
            digits = rest.split(".", 1)[0]
            if digits.isdecimal() and digits.isascii():
                newest = max(newest, int(digits))
    return newest


def create_event_file(directory: str, suffix: str = "") -> tuple[int, str]:
    """Create a new event file whose name sorts after all others in `directory`.

    TensorBoard reads the files of a directory in name order, and a file that sorts before an older
    one hides its points. Returns the descriptor, opened for append, and the absolute path.
    """
    stamp = max(int(time.time()), newest_timestamp(directory) + 1)
    while True:
        name = f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}.{os.getpid()}.0{suffix}"
        path = os.path.join(directory, name)
        try:
            return os.open(path, _OPEN_FLAGS | os.O_CREAT | os.O_EXCL, 0o666), path
        except FileExistsError:
            stamp += 1


def _version_record() -> bytes:
    event = Event(
        wall_time=time.time(),
        file_version="brain.Event:2",
        source_metadata=SourceMetadata(writer="safewriter"),
    )
    return frame(event.SerializeToString())


class _Backlog:
    """The memory that all waiting records of this process share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0

    def limit(self) -> int:
        """Bytes that may wait; ``SAFEWRITER_BACKLOG_MB`` sets it, 64 is the default."""
        try:
            return int(float(os.environ["SAFEWRITER_BACKLOG_MB"]) * 2**20)
        except (KeyError, ValueError, OverflowError):
            return 64 * 2**20

    def take(self, size: int, *, at_any_price: bool = False) -> bool:
        with self._lock:
            if self.bytes + size > self.limit() and not at_any_price:
                return False
            self.bytes += size
            return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self.bytes -= size


_backlog = _Backlog()


class _Descriptors:
    """Bounds the descriptors that event files keep open; the longest open one goes first."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._open: dict[EventFile, None] = {}

    def limit(self) -> int:
        try:
            import resource

            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        except (ImportError, OSError):
            return 128
        return max(4, min(256, soft // 4)) if soft > 0 else 256

    def opened(self, file: EventFile) -> None:
        with self._lock:
            self._open[file] = None
            excess = len(self._open) - self.limit()
            for other in list(self._open)[: max(excess, 0)]:
                if other is not file and other.release_descriptor():
                    self._open.pop(other, None)

    def closed(self, file: EventFile) -> None:
        with self._lock:
            self._open.pop(file, None)


_descriptors = _Descriptors()


def _after_fork() -> None:
    # Another thread may have held these locks at the moment of the fork.
    global _backlog, _descriptors
    _backlog, _descriptors = _Backlog(), _Descriptors()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class EventFile:
    """The live event file of one directory, appended to by any number of threads.

    Created on the first :meth:`open` or :meth:`append`; after :meth:`close` the next append opens
    the same file again, or a later-named one if it is no longer there.
    """

    def __init__(
        self, directory: str, suffix: str = "", on_new_place: Callable[[], None] | None = None
    ) -> None:
        self.directory = directory
        self.path: str | None = None
        self.events = 0
        self._suffix = suffix
        self._on_new_place = on_new_place
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._fd = -1
        self._identity: tuple[int, int] | None = None
        self._size = 0
        # Ready: the descriptor is open, nothing waits, no write is under way.
        self._ready = False
        self._busy = False
        self._inflight: bytes | None = None
        self._written = 0
        self._waiting: deque[bytes] = deque()
        self._dropped = 0
        self._refusing = False
        self._refused_events = 0
        self._retry_at = 0.0
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._looked_at = self._look_at = 0.0
        self._news: list[str] = []
        self._moved = False

    def open(self) -> None:
        """Create the file with its version record; raises the ``OSError`` of the file system."""
        with self._lock:
            if self.path is None and self._inflight is None and not self._waiting:
                os.makedirs(self.directory, exist_ok=True)
                self._create()
                self._advance(time.time())
        self._tell()

    def append(self, payload: bytes, now: float) -> None:
        """Write one event; `now` is the current time in seconds since the epoch."""
        record = frame(payload)
        size = len(record)
        with self._lock:
            if self._ready and self._looked_at <= now < self._look_at:
                # From here to the accounting below a signal handler may run, and log or raise: what
                # is in flight is remembered, and counted against the file's size if need be.
                self._ready = False
                self._busy = True
                self._inflight = record
                self._written = 0
                try:
                    written = os.write(self._fd, record)
                    self._size += written
                    if written == size:
                        self._inflight = None
                        self.events += 1
                        if not self._waiting:
                            self._ready = True
                            return
                    else:
                        self._written = written
                    self._drain()
                except OSError as error:
                    self._refused(error)
                finally:
                    self._busy = False
            else:
                self._append_slowly(record, now)
        self._tell()

    def flush(self) -> None:
        """Try again at once what the disk has refused. Nothing else waits."""
        with self._lock:
            if self._busy:
                return
            if self._inflight is not None or self._waiting:
                self._retry_at = 0.0
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
                return  # The interrupted call of this very thread still writes.
            if look:
                self._look(time.time())
            lost = self._forget_waiting()
            if lost:
                self._news.append(
                    f"{lost} events could not be written to {self._name()} before it was closed "
                    "and are lost: the disk still refuses them. Free some space, or close the "
                    "writer only after it has accepted them."
                )
            self._close_descriptor()
        self._tell()

    def release_descriptor(self) -> bool:
        """Close the descriptor if the file is idle; the next append opens it again."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if self._busy or self._inflight is not None:
                return False
            self._close_descriptor(evicted=True)
            return True
        finally:
            self._lock.release()

    def after_fork(self, directory: str) -> None:
        """In a forked child: let go of the parent's file and start over in `directory`, lazily."""
        fd = self._fd
        self._reset()
        if fd >= 0:
            os.close(fd)
        self.path = None
        self.events = 0
        self.directory = directory

    # What follows is called with the lock held.

    def _append_slowly(self, record: bytes, now: float) -> None:
        if _backlog.take(len(record)):
            self._waiting.append(record)
        else:
            self._dropped += 1
        if self._busy:
            return  # A signal handler logs while its thread is in a write, which drains this.
        self._advance(now)

    def _advance(self, now: float) -> None:
        self._busy = True
        try:
            self._account()
            if not self._looked_at <= now < self._look_at:
                self._look(now)
            self._drain()
        except OSError as error:
            self._refused(error)
        finally:
            self._busy = False

    def _account(self) -> None:
        """Find out how much of a record arrived whose write was cut short by an exception."""
        if self._inflight is None or self._fd < 0:
            return
        extra = os.fstat(self._fd).st_size - self._size
        if 0 <= extra <= len(self._inflight) - self._written:
            self._size += extra
            self._written += extra
            if self._written == len(self._inflight):
                self._inflight = None
                self.events += 1
        else:
            self._abandon(f"{self._name()} was changed by somebody else")

    def _drain(self) -> None:
        if time.monotonic() < self._retry_at:
            return
        while self._inflight is not None or self._waiting:
            if self._fd < 0:
                self._open()
            if self._inflight is None:
                # In this order a signal handler that raises neither loses nor repeats a record.
                self._inflight, self._written = self._waiting[0], 0
                self._waiting.popleft()
                _backlog.give_back(len(self._inflight))
            record = self._inflight
            written = os.write(self._fd, memoryview(record)[self._written :])
            self._size += written
            self._written += written
            if self._written == len(record):
                self._inflight = None
                self.events += 1
        if self._refusing:
            self._accepted()
        self._ready = self._fd >= 0 and not self._waiting

    def _open(self) -> None:
        if self.path is not None:
            try:
                fd = os.open(self.path, _OPEN_FLAGS)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                self._abandon(f"{self._name()} is no longer there")
            else:
                status = os.fstat(fd)
                same = (status.st_dev, status.st_ino) == self._identity
                if same and status.st_size == self._size:
                    self._fd = fd
                    _descriptors.opened(self)
                    return
                os.close(fd)
                self._abandon(f"{self._name()} was replaced or changed by somebody else")
        os.makedirs(self.directory, exist_ok=True)
        self._create()

    def _create(self) -> None:
        self._fd, self.path = create_event_file(self.directory, self._suffix)
        status = os.fstat(self._fd)
        self._identity = (status.st_dev, status.st_ino)
        self._size = 0
        self._looked_at = time.time()
        self._look_at = self._looked_at + _LOOK_SECONDS
        # The version record goes first, then whatever was under way in an abandoned file, whole.
        if self._inflight is not None:
            self._waiting.appendleft(self._inflight)
            _backlog.take(len(self._inflight), at_any_price=True)
        self._inflight, self._written = _version_record(), 0
        self.events = -1
        _descriptors.opened(self)

    def _look(self, now: float) -> None:
        """Notice that the file was deleted, renamed or replaced."""
        self._looked_at, self._look_at = now, now + _LOOK_SECONDS
        if self._fd < 0 or self.path is None:
            return
        try:
            here = os.fstat(self._fd)
            if here.st_nlink == 0:
                self._abandon(
                    f"{self._name()} was deleted, and with it {max(self.events, 0)} events"
                )
                return
            there = os.stat(self.path)
        except OSError as error:
            if error.errno in _GONE:
                self._abandon(f"{self._name()} is no longer there ({error.strerror})")
            return
        if not os.path.samestat(here, there):
            self._abandon(f"{self._name()} was renamed or replaced")

    def _abandon(self, reason: str) -> None:
        self._close_descriptor()
        self.path = None
        self._moved = True
        self._news.append(
            f"{reason}. What is logged from now on goes to a new event file in {self.directory}; "
            "do not delete or move the directory of a run that is being written."
        )

    def _refused(self, error: OSError) -> None:
        self._ready = False
        if error.errno in _GONE and self._fd >= 0:
            self._abandon(f"{self._name()} cannot be written any more ({error.strerror})")
            self._retry_at = 0.0
            try:
                self._drain()
            except OSError as again:
                error = again
            else:
                return
        self._retry_at = time.monotonic() + self._retry_seconds
        self._retry_seconds = min(self._retry_seconds * 2, _LAST_RETRY_SECONDS)
        if not self._refusing:
            self._refusing = True
            self._news.append(
                f"writing to {self._name()} failed: {error.strerror} (errno {error.errno}). "
                f"Training goes on; {self._count_waiting()} events wait in memory, more will wait "
                f"up to {_backlog.limit() // 2**20} MiB, and all go out in order as soon as the "
                "disk accepts them."
            )

    def _accepted(self) -> None:
        self._refusing = False
        self._retry_seconds = _FIRST_RETRY_SECONDS
        lost = (
            f"; {self._dropped} events did not fit in memory and are lost" if self._dropped else ""
        )
        self._news.append(f"{self._name()} accepts events again, what waited was written{lost}.")
        self._dropped = 0

    def _count_waiting(self) -> int:
        # Below zero: the version record is still on its way, and is no event of the user's.
        return len(self._waiting) + (self._inflight is not None and self.events >= 0)

    def _forget_waiting(self) -> int:
        lost = self._count_waiting() + self._dropped
        for record in self._waiting:
            _backlog.give_back(len(record))
        self._waiting.clear()
        self._dropped = 0
        self._refusing = False
        return lost

    def _close_descriptor(self, *, evicted: bool = False) -> None:
        self._ready = False
        fd, self._fd = self._fd, -1
        if fd >= 0:
            if not evicted:
                _descriptors.closed(self)
            try:
                os.close(fd)
            except OSError as error:
                # NFS reports a refused write here at the latest.
                self._news.append(f"closing {self._name()} failed: {error.strerror}.")

    def _name(self) -> str:
        return self.path or self.directory

    def _tell(self) -> None:
        """Warn, and report a new place, outside the lock: both may run the user's code."""
        news, self._news = self._news, []
        for message in news:
            warn(WriteErrorWarning, message)
        if self._moved:
            self._moved = False
            if self._on_new_place is not None:
                self._on_new_place()


class SilentFile(EventFile):
    """An event file that is never made: that of a rank which is told to be silent."""

    def open(self) -> None:
        """Do nothing."""

    def append(self, payload: bytes, now: float) -> None:
        """Do nothing."""


class RunEventWriter(_TENSORBOARDS):  # type: ignore[misc,valid-type]  # its base is untyped
    """tensorboard's event writer with an :class:`EventFile` in place of its queue and thread.

    The constructor keeps tensorboard's signature, because trackers put a subclass in its place.
    """

    _file: EventFile

    def __init__(
        self,
        logdir: str,
        max_queue_size: int = 10,
        flush_secs: float = 120,
        filename_suffix: str = "",
    ) -> None:
        # Not super().__init__(): that opens a file and starts a thread.
        self._logdir = logdir

    def attach(self, file: EventFile) -> None:
        """Give the writer the file that it shares with the other writers of its run."""
        self._file = file

    @property
    def _file_name(self) -> str:
        return self._file.path or ""

    def add_event(self, event: Event) -> None:
        """Append one event; ``TypeError`` for anything else, ``ValueError`` from 2 GiB on."""
        if not isinstance(event, Event):
            raise TypeError(f"an Event protocol buffer is expected, got {type(event).__name__}")
        self._file.append(serialize(event), time.time())

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        """Does not close the file: it belongs to the run, and other writers may share it."""
        self._file.flush()

    def reopen(self) -> None:
        """Does nothing: the file opens again by itself."""


def serialize(event: Event) -> bytes:
    """Serialize an event, or raise one ``ValueError`` that names its tag if it is too large."""
    size = event.ByteSize()
    if size > MAX_EVENT_BYTES:
        tags = ", ".join(repr(value.tag) for value in event.summary.value) or "no tag"
        raise ValueError(
            f"the event ({tags}) has {size} bytes, but an event must be smaller than 2 GiB to be "
            "read back: log less data in one call"
        )
    payload: bytes = event.SerializeToString()
    return payload
