"""The event writer that torch's and tensorboard's code talks to, with our event file below it."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from google.protobuf.message import EncodeError
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from safewriter._errors import ArgumentTypeError, ArgumentValueError
from safewriter._tfrecord import MAX_LENGTH
from safewriter._torch import hooks

#: No reader could read back more.
MAX_EVENT_BYTES = MAX_LENGTH


class Sink(Protocol):
    """Where the events of an event writer go."""

    @property
    def path(self) -> str | None:
        """The event file."""

    def write(self, event: Event) -> None:
        """Write an event."""

    def retry(self) -> None:
        """Try again what the disk has refused."""


class RunEventWriter(hooks.EVENT_FILE_WRITER):  # type: ignore[misc]  # its base is untyped
    """tensorboard's event writer with an event file of ours in place of its queue and thread.

    The constructor keeps tensorboard's signature, because trackers put a subclass in its place.
    """

    #: Where trackers replace the name ``EventFileWriter``.
    module: ClassVar[Any] = hooks.torch_writer
    _sink: Sink

    def __init__(
        self,
        logdir: str,
        max_queue_size: int = 10,
        flush_secs: float = 120,
        filename_suffix: str = "",
    ) -> None:
        # Not super().__init__(): that opens a file and starts a thread.
        self._logdir = logdir

    @property
    def _file_name(self) -> str:
        return self._sink.path or ""

    def add_event(self, event: Event) -> None:
        """Append one event; ``TypeError`` for anything else, ``ValueError`` from 2 GiB on."""
        if not isinstance(event, Event):
            raise ArgumentTypeError(
                f"event must be an Event protocol buffer, but is a {type(event).__name__}",
                argument="event",
            )
        self._sink.write(event)

    def flush(self) -> None:
        self._sink.retry()

    def close(self) -> None:
        """Does not close the file: it belongs to the run, and other writers may share it."""
        self._sink.retry()

    def reopen(self) -> None:
        """Does nothing: the file opens again by itself."""


_combined: dict[Any, type[RunEventWriter]] = {}


def make_event_writer(
    ours: type[RunEventWriter], sink: Sink, logdir: str, *arguments: Any
) -> RunEventWriter:
    """Return an event writer of ours, combined with what a tracker put under the library's name."""
    theirs = ours.module.EventFileWriter
    if theirs in ours.__mro__:
        cls = ours
    else:
        if theirs not in _combined:
            _combined[theirs] = type(theirs.__name__, (theirs, ours), {})
        cls = _combined[theirs]
    writer = cls(logdir, *arguments)
    writer._sink = sink
    return writer


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


def too_large(summary: Summary) -> ArgumentValueError:
    """Return the error for an event that nobody could read back."""
    tags = ", ".join(repr(value.tag) for value in summary.value) or "no tag"
    return ArgumentValueError(
        f"the event ({tags}) has 2 GiB or more, but an event must be smaller than that to be read "
        "back: log less data in one call",
        argument="event",
    )
