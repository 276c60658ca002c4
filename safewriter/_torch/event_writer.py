"""The event writer that torch's and tensorboard's code talks to, with our event file below it."""

from __future__ import annotations

import time

from google.protobuf.message import EncodeError
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer import event_file_writer

from safewriter._disk.event_file import EventFile

# A tracker may have put a subclass under the name already: it hooks, this is what it extends.
_TENSORBOARDS = next(
    base
    for base in event_file_writer.EventFileWriter.__mro__
    if base.__module__ == event_file_writer.__name__
)

#: Protobuf cannot parse a message of 2 GiB or more, so no reader could read it back.
MAX_EVENT_BYTES = 2**31 - 1


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
    # Not ByteSize() first: protobuf serializes the whole event to answer that.
    try:
        payload: bytes = event.SerializeToString()
    except EncodeError:
        raise too_large(event.summary) from None
    if len(payload) > MAX_EVENT_BYTES:
        raise too_large(event.summary)
    return payload


def too_large(summary: Summary) -> ValueError:
    """Return the error for an event that nobody could read back."""
    tags = ", ".join(repr(value.tag) for value in summary.value) or "no tag"
    return ValueError(
        f"the event ({tags}) has 2 GiB or more, but an event must be smaller than that to be read "
        "back: log less data in one call"
    )
