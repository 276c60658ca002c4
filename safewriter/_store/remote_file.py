"""Directories with a scheme: tensorboard's own asynchronous writer, whose failures are told.

What was logged waits in that writer, in a queue and in a temporary file, and is uploaded whole
every ``flush_secs`` seconds, on ``flush()`` and on ``close()``. So the promise is weaker than for
local directories: a process that is killed loses what was logged since the last upload.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from safewriter._disk.marks import Mark, Move
from safewriter._errors import Notice, RunDirectoryError, WriteErrorWarning, tell

_RETRY_SECONDS = 5.0
_CURE = "check its name, your access rights, and that the package for its scheme is installed"


class RemoteFile:
    """An event file that keeps the training alive when a server or a network does not answer.

    Args:
        directory: With a scheme; passed on as it is.
        max_queue: Events that wait in the queue; what may be lost in a failure.
        flush_secs: Seconds between two uploads.
        suffix: Appended to the name of the event file.
    """

    def __init__(self, directory: str, max_queue: int, flush_secs: float, suffix: str) -> None:
        self.directory = directory
        self.lock = threading.RLock()
        self.events = 0
        self.lost = 0
        self._arguments = directory, max_queue, flush_secs, suffix
        self._writer: Any = None
        self._closed_for = -1
        self._failing = False
        self._retry_at = 0.0
        self._unwritten = 0
        self._news: list[Notice] = []

    @property
    def path(self) -> str | None:
        """The address of the event file."""
        return getattr(self._writer, "_file_name", None)

    def is_closed_for(self, generation: int) -> bool:
        """Tell whether nothing is left to upload, and stays so for this opening of the run."""
        return self._writer is None and self._closed_for >= generation

    def open(self, generation: int = 0) -> None:
        """Make the file. Raises :class:`RunDirectoryError` if the directory cannot be used."""
        with self.lock:
            try:
                self._open()
            except Exception as error:  # Whatever the client of the server raises.
                raise RunDirectoryError(
                    f"the run directory {self.directory!r} cannot be used: {error!r}; {_CURE}",
                    path=self.directory,
                    errno=getattr(error, "errno", None),
                    cure=_CURE,
                ) from error

    def append(
        self,
        payload: bytes,
        now: float,
        mark: Mark | None = None,
        step: int = 0,
        value: float | None = None,
        logger: object = None,
        rising: bool = False,
        generation: int = 0,
        also: Sequence[Move] = (),
    ) -> int | None:
        """Queue one event; it is lost, and counted, while the server does not answer.

        The arguments and the result are those of a local file's.
        """
        if rising:
            return None
        before = 0
        with self.lock:
            if generation <= self._closed_for:
                return None
            if mark is not None:
                before, mark.last, mark.value, mark.logger = mark.last, step, value, logger
            for other in also:
                other.move(logger)
            event = Event.FromString(payload)
            self.events += 1
            if not self._try(lambda: self._writer.add_event(event)):
                self._unwritten += 1
        tell(self._news)
        return before

    def flush(self) -> None:
        """Upload what was logged."""
        with self.lock:
            if self._writer is not None:
                self._try(lambda: self._writer.flush(), now=True)
        tell(self._news)

    def close(self, generation: int = 0, *, look: bool = True) -> None:
        """Upload what was logged and end the writer's thread."""
        with self.lock:
            self._closed_for = max(self._closed_for, generation)
            if self._writer is None:
                done = not self._unwritten
            else:
                done = self._try(lambda: self._writer.close(), now=True)
            self._writer = None
            lost, self._unwritten = self._unwritten, 0
            if not done:
                self.lost += lost
                self._warn(
                    f"{self.directory} was closed while the server does not answer: what was "
                    f"logged since the last upload is lost, and {lost} later events.",
                )
        tell(self._news)

    def relocate(self, directory: str) -> None:
        """Stay: nobody takes a directory with a scheme from this process."""

    def _open(self) -> None:
        if self._writer is None:
            self._writer = EventFileWriter(*self._arguments)

    def _revive(self) -> None:
        """Give the file a new queue and thread: tensorboard's end for ever at the first failure.

        The temporary file lives on, so the next upload has all that was in it.
        """
        ended = self._writer._async_writer
        _, max_queue, flush_secs, _ = self._arguments
        self._writer._async_writer = type(ended)(ended._writer, max_queue, flush_secs)

    def _try(self, work: Callable[[], object], *, now: bool = False) -> bool:
        if self._failing and not now and time.monotonic() < self._retry_at:
            return False
        try:
            if self._failing and self._writer is not None:
                self._revive()
                self._writer.flush()
            self._open()
            work()
        except Exception as error:  # Whatever the client of the server raises.
            self._failed(error)
            return False
        if self._failing:
            self._failing = False
            lost, self._unwritten = self._unwritten, 0
            self._warn(f"{self.directory} takes events again; {lost} events were lost meanwhile.")
        return True

    def _failed(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        if not self._failing:
            self._failing = True
            # What was in the queue is gone with the thread; the temporary file is not.
            self._warn(
                f"writing to {self.directory} failed: {error!r}. Training goes on; up to "
                f"{self._arguments[1] + 1} queued events and those logged until the server "
                "answers again are lost.",
            )

    def _warn(self, message: str) -> None:
        self._news.append(Notice(WriteErrorWarning, message))
