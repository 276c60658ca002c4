"""The one door: every event of every kind passes here on its way to the event file."""

from __future__ import annotations

import math
import sys
import threading
import time
from typing import Any

import torch.utils.tensorboard.writer as _module
from google.protobuf.message import EncodeError
from tensorboard.compat.proto import types_pb2
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from torch.utils.tensorboard.writer import FileWriter

from safewriter import _lifecycle
from safewriter._kinds import scalar_value, value_kind
from safewriter._ledger.ledger import INT64_MAX, INT64_MIN
from safewriter._run.registry import start_over
from safewriter._run.run import Member
from safewriter._torch.event_writer import RunEventWriter, too_large
from safewriter._torch.fast_scalar import ScalarShortcut
from safewriter._torch.remote import RemoteEventWriter

# What has no points: the hparams plugin's messages carry no value, and this is a layout.
_LAYOUT_TAG = "custom_scalars__config__"

# As it is at the moment of each use: trackers replace names in it.
_torch_writer: Any = _module

_inside = threading.local()


_combined: dict[type[EventFileWriter], type[RunEventWriter]] = {}


def event_writer_class() -> type[RunEventWriter]:
    """Return our event writer, combined with whatever a tracker put under tensorboard's name."""
    theirs = _torch_writer.EventFileWriter
    if theirs in RunEventWriter.__mro__:
        return RunEventWriter
    if theirs not in _combined:
        _combined[theirs] = type(theirs.__name__, (theirs, RunEventWriter), {})
    return _combined[theirs]


class RunFileWriter(FileWriter):
    """torch's file writer for one directory of a run: checks what passes, and follows the run."""

    def __init__(
        self,
        member: Member,
        max_queue: int,
        flush_secs: float,
        filename_suffix: str,
        *,
        subdir: str = "",
        series: str | None = None,
    ) -> None:
        # Not super().__init__(): it would open an event file of its own.
        self._member = member
        self._subdir = subdir
        self._series = series
        self._event_writer_arguments = (max_queue, flush_secs, filename_suffix)
        self._go_along()

    def _go_along(self) -> None:
        run = self._member.run
        self._place = run.place
        self._ledger = run.ledger(self._subdir)
        directory = f"{run.directory}/{self._subdir}" if self._subdir else run.directory
        if run.remote:
            self.event_writer = RemoteEventWriter(
                directory, *self._event_writer_arguments, must_open=not run.used
            )
            run.used = True
            run.remote_writers.append(self.event_writer)
        else:
            self.event_writer = event_writer_class()(directory, *self._event_writer_arguments)
            file = run.file(self._subdir)
            self.event_writer.attach(file)
            # One for all short cuts: a bound method for each tag would be a tenth of its memory.
            self._append = file.append

    def follow(self) -> None:
        """Be where the run is: it may have moved, been closed, or belong to a parent process."""
        self._member.ready()
        if self._place is not self._member.run.place:
            self._go_along()

    def add_event(self, event: Event, step: Any = None, walltime: float | None = None) -> None:
        """Check and write an event; see torch's ``FileWriter.add_event``.

        Raises ``ValueError`` for a step outside int64 and for a wall time that is not finite.
        """
        if not getattr(_inside, "add_summary", False):
            self.follow()
            if event.HasField("summary"):
                step = self._check(event.summary, event.step if step is None else step, walltime)
        super().add_event(event, step, walltime)

    def add_summary(
        self, summary: Summary, global_step: Any = None, walltime: float | None = None
    ) -> None:
        """Check and write a summary; see torch's ``FileWriter.add_summary``.

        Raises ``ValueError`` for a step outside int64 and for a wall time that is not finite.
        """
        self.follow()
        step = self._check(summary, global_step, walltime)
        before = getattr(_inside, "add_summary", False)
        _inside.add_summary = True
        try:
            # Positional: trackers that wrap this take the step by its place.
            super().add_summary(summary, step, walltime)
        except EncodeError:
            raise too_large(summary) from None
        finally:
            _inside.add_summary = before
        self._make_shortcut(summary)

    def announce_restart(self, step: int) -> None:
        """Hide what was logged from `step` on from the readers that obey a restart.

        TensorBoard's Python reader takes the first START of a directory for the first start and
        hides behind the later ones, so there are two; its default reader obeys none, but hides the
        points of a tag from a step on when that step is logged again.
        """
        for _ in range(2):
            super().add_event(Event(session_log=SessionLog(status=SessionLog.START)), step)

    def _restart(self, step: int) -> None:
        """Announce a restart, and write again what it hides of this session's own events."""
        from safewriter._run.resume import (
            logged_from,  # Only a run that goes on has to read: see _run.py.
        )

        file = self._member.run.file(self._subdir)
        hidden = logged_from(file.path, step) if file.path else []
        self.announce_restart(step)
        for payload in hidden:
            file.append(payload, time.time())

    def _check(self, summary: Summary, given: Any, walltime: float | None) -> int | None:
        if walltime is not None and not math.isfinite(walltime):
            raise ValueError(
                f"walltime {walltime} of {_tags(summary)} is not finite: TensorBoard would stop "
                "reading the event file there; pass seconds since the epoch"
            )
        step = None if given is None else _as_step(given, summary)
        rounded = given if step is not None and step != given else None
        for value in summary.value:
            if value.WhichOneof("value") is not None and value.tag != _LAYOUT_TAG:
                step = self._check_value(value, step, rounded)
        return step

    def _check_value(self, value: Summary.Value, step: int | None, given: Any) -> int | None:
        kind = value_kind(value)
        number = scalar_value(value) if kind == "scalar" else None
        if number is not None and step is not None and self._starts_over(value.tag, step):
            start_over(self._member, value.tag, step)
            self.follow()
        restart = self._member.run.restart_at(self._subdir, value.tag, step)
        if restart is not None:
            self._restart(restart)
        double = kind == "scalar" and value.tensor.dtype == types_pb2.DT_DOUBLE
        # Interned: protobuf makes a new string at each look, and the short cut keeps one too.
        tag = sys.intern(value.tag)
        return self._ledger.check(tag, kind, step, self._member, number, double=double, given=given)

    def _starts_over(self, tag: str, step: int) -> bool:
        """Tell whether a newly made writer is not ahead of a writer that has left."""
        if not self._member.may_move:
            return False
        state = self._ledger.tags.get(tag)
        if state is None or state.logger is self._member or step > state.last:
            return False
        # An interactive session keeps the writer of a cell that was interrupted, in its traceback.
        return getattr(state.logger, "left", False) or _lifecycle.interactive()

    def _make_shortcut(self, summary: Summary) -> None:
        if self._member.run.remote or len(summary.value) != 1:
            return
        value = summary.value[0]
        if value.WhichOneof("value") != "simple_value":
            return
        tag = sys.intern(value.tag)
        key = tag if self._series is None else (tag, self._series)
        if key in self._member.shortcuts:
            return
        state = self._ledger.tags[tag]
        if state.kind == "scalar" and not value.HasField("metadata"):
            self._member.shortcuts[key] = ScalarShortcut(tag, state, self._append)


def _tags(summary: Summary) -> str:
    return ", ".join(repr(value.tag) for value in summary.value) or "an event"


def _as_step(given: Any, summary: Summary) -> int:
    try:
        step = int(given)
    except (ValueError, OverflowError):  # NaN, infinite, or text
        raise ValueError(
            f"step {given!r} of {_tags(summary)} is not an integer: pass a global_step that is"
        ) from None
    if not INT64_MIN <= step <= INT64_MAX:
        raise ValueError(
            f"step {given} of {_tags(summary)} does not fit in 64 bits: pass a smaller global_step"
        )
    return step
