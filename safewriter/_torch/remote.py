"""Directories with a scheme: tensorboard's own asynchronous writer, whose failures are told.

What was logged waits in that writer, in a queue and in a temporary file, and is uploaded whole
every ``flush_secs`` seconds, on ``flush()`` and on ``close()``. So the promise is weaker than for
local directories: a process that is killed loses what was logged since the last upload.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch.utils.tensorboard.writer as _module
from google.protobuf.message import EncodeError
from tensorboard.compat.proto.event_pb2 import Event

from safewriter._errors import RunDirectoryError, WriteErrorWarning, warn
from safewriter._torch.event_writer import too_large

# As it is at the moment of each use: trackers replace names in it.
_torch_writer: Any = _module

_RETRY_SECONDS = 5.0


class RemoteEventWriter:
    """An event writer that keeps the training alive when a server or a network does not answer.

    Args:
        directory: With a scheme; passed on as it is.
        max_queue: Events that wait in the queue; what may be lost in a failure.
        flush_secs: Seconds between two uploads.
        suffix: Appended to the name of the event file.
        must_open: Whether to make the file at once, and to raise if that fails.

    Raises:
        RunDirectoryError: With `must_open`, and the directory cannot be used.
    """

    def __init__(
        self, directory: str, max_queue: int, flush_secs: float, suffix: str, *, must_open: bool
    ) -> None:
        self._arguments = directory, max_queue, flush_secs, suffix
        self._writer: Any = None
        self._failing = False
        self._retry_at = 0.0
        self._lost = 0
        if must_open:
            try:
                self._open()
            except Exception as error:  # Whatever the client of the server raises.
                raise RunDirectoryError(
                    f"the run directory {directory!r} cannot be used: {error!r}; check its name, "
                    "your access rights, and that the package for its scheme is installed"
                ) from error

    def get_logdir(self) -> str:
        """Return the directory."""
        return self._arguments[0]

    @property
    def _logdir(self) -> str:
        return self._arguments[0]

    @property
    def _file_name(self) -> str:
        return getattr(self._writer, "_file_name", "")

    def add_event(self, event: Event) -> None:
        """Queue one event; it is lost, and counted, while the server does not answer.

        Raises ``TypeError`` for anything else, and ``ValueError`` from 2 GiB on.
        """
        if not isinstance(event, Event):
            raise TypeError(f"an Event protocol buffer is expected, got {type(event).__name__}")
        try:
            if not self._try(lambda: self._writer.add_event(event)):
                self._lost += 1
        except EncodeError:
            raise too_large(event.summary) from None

    def flush(self) -> None:
        """Upload what was logged."""
        if self._writer is not None:
            self._try(lambda: self._writer.flush(), now=True)

    def close(self) -> None:
        """Upload what was logged and end the writer's thread."""
        if self._writer is None:
            done = not self._lost
        else:
            done = self._try(lambda: self._writer.close(), now=True)
        self._writer = None
        lost, self._lost = self._lost, 0
        if not done:
            warn(
                WriteErrorWarning,
                f"{self._logdir} was closed while the server does not answer: what was logged "
                f"since the last upload is lost, and {lost} later events.",
            )

    def reopen(self) -> None:
        """Does nothing: the file opens again by itself."""

    def _open(self) -> None:
        if self._writer is None:
            self._writer = _torch_writer.EventFileWriter(*self._arguments)

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
        except EncodeError:
            raise
        except Exception as error:  # Whatever the client of the server raises.
            self._failed(error)
            return False
        if self._failing:
            self._failing = False
            self._tell_recovery()
        return True

    def _failed(self, error: Exception) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        if not self._failing:
            self._failing = True
            # What was in the queue is gone with the thread; the temporary file is not.
            warn(
                WriteErrorWarning,
                f"writing to {self._logdir} failed: {error!r}. Training goes on; up to "
                f"{self._arguments[1] + 1} queued events and those logged until the server "
                "answers again are lost.",
            )

    def _tell_recovery(self) -> None:
        lost, self._lost = self._lost, 0
        warn(
            WriteErrorWarning,
            f"{self._logdir} takes events again; {lost} events were lost meanwhile.",
        )
