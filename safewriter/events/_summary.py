"""What a run holds: its tags, their steps and times, and its faults."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tensorboard.compat.proto import event_pb2, types_pb2

from safewriter._kinds import scalar_value, value_kind
from safewriter._tfrecord import FRAMING

from ._events import ScalarDecoder, files_of
from ._records import EventFile, Record, StrPath, Verdict, parse

_FAULTS_KEPT = 1000


@dataclass(slots=True)
class TagSummary:
    """What a run holds of one tag, in TensorBoard's reading order.

    Attributes:
        tag: The tag.
        kind: The kind of its first value, as ``value_kind`` names it.
        count: How many values it has.
        first_step: The step of its first value.
        last_step: The step of its last value.
        max_step: Its highest step.
        first_wall_time: When its first value was logged, in seconds since the epoch.
        last_wall_time: When its last value was logged.
        backward_steps: How many values have a lower step than the value before them.
        repeated_steps: How many values have the same step as the value before them.
        non_finite: How many of its scalars are NaN or infinite.
        double_precision: Whether it has scalars of type double, which TensorBoard's default reader
            does not show.
        other_kinds: The kinds of its other values, if they are not all of one kind.
    """

    tag: str
    kind: str
    count: int
    first_step: int
    last_step: int
    max_step: int
    first_wall_time: float
    last_wall_time: float
    backward_steps: int = 0
    repeated_steps: int = 0
    non_finite: int = 0
    double_precision: bool = False
    other_kinds: list[str] = field(default_factory=list)

    def _add(self, step: int, wall_time: float, number: float) -> None:
        last_step = self.last_step
        if step > last_step:
            if step > self.max_step:
                self.max_step = step
        elif step < last_step:
            self.backward_steps += 1
        elif self.count:
            self.repeated_steps += 1
        if number - number != 0.0:  # NaN or infinite
            self.non_finite += 1
        self.count += 1
        self.last_step = step
        self.last_wall_time = wall_time


class Fault(NamedTuple):
    """A fault, and the file it is in. The record's ``data`` is left out."""

    path: str
    record: Record


@dataclass(slots=True)
class RunSummary:
    """What an event file or a run directory holds.

    Attributes:
        path: The absolute path of what was read.
        files: Its event files, in TensorBoard's reading order.
        events: How many events were read, those without a tag included.
        tags: Its tags, in the order of their first values.
        first_wall_time: When the first event was logged, in seconds since the epoch; None without
            any.
        last_wall_time: When the last event was logged.
        non_finite_wall_times: How many events have a wall time that is NaN or infinite.
        file_version: The last file version record, such as ``"brain.Event:2"``; None without any.
        has_graph: Whether a graph was logged.
        session_starts: How many ``SessionLog.START`` events there are.
        last_session_start: The step of the last of them; None without any.
        faults: The first 1000 faults.
        fault_count: How many faults there are.
        behind_faults: How many intact records lie behind a fault of their file. They are counted
            nowhere else, unless that was asked for.
    """

    path: str
    files: list[str] = field(default_factory=list)
    events: int = 0
    tags: dict[str, TagSummary] = field(default_factory=dict)
    first_wall_time: float | None = None
    last_wall_time: float | None = None
    non_finite_wall_times: int = 0
    file_version: str | None = None
    has_graph: bool = False
    session_starts: int = 0
    last_session_start: int | None = None
    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0
    behind_faults: int = 0

    def _add_fault(self, path: str, fault: Record) -> None:
        self.fault_count += 1
        if len(self.faults) < _FAULTS_KEPT:
            self.faults.append(Fault(path, fault))

    def _add_event(self, event: Any, decoder: ScalarDecoder[TagSummary]) -> None:
        what = event.WhichOneof("what")
        if what == "file_version":
            self.file_version = event.file_version
        elif what == "graph_def":
            self.has_graph = True
        elif what == "session_log" and event.session_log.status == event_pb2.SessionLog.START:
            self.session_starts += 1
            self.last_session_start = event.step
        for value in event.summary.value:
            self._add_value(event.step, event.wall_time, value, decoder)

    def _add_value(
        self, step: int, wall_time: float, value: Any, decoder: ScalarDecoder[TagSummary]
    ) -> None:
        kind = value_kind(value)
        tag = self.tags.get(value.tag)
        if tag is None:
            tag = TagSummary(value.tag, kind, 0, step, step, step, wall_time, wall_time)
            self.tags[value.tag] = tag
            if kind == "scalar":
                decoder.learn(value.tag, tag)
        elif kind == "tensor:":  # only a tag's first value has to name the plugin
            kind = tag.kind
        if kind != tag.kind and kind not in tag.other_kinds:
            tag.other_kinds.append(kind)
        number = 0.0
        if kind == "scalar":
            number = scalar_value(value)
            if value.tensor.dtype == types_pb2.DT_DOUBLE:
                tag.double_precision = True
        tag._add(step, wall_time, number)


def summarise(path: StrPath, *, behind_faults: bool = False) -> RunSummary:
    """Return what an event file or a run directory holds.

    Takes memory for its tags, not for their values. ``path``, ``behind_faults`` and the errors
    raised are those of ``read_events``; faults are found all through each file in any case.
    """
    run = RunSummary(os.path.abspath(path), files_of(path))
    decoder: ScalarDecoder[TagSummary] = ScalarDecoder()
    for name in run.files:
        faulty = False
        with EventFile(name) as file:
            for offset, data in file.pieces():
                if isinstance(data, Record):
                    run._add_fault(name, data)
                    faulty = True
                    continue
                event = None
                point = decoder.decode(data)
                if point is None and (event := parse(data)) is None:
                    length = len(data) + FRAMING
                    run._add_fault(name, Record(offset, length, Verdict.UNDECODABLE, b""))
                    faulty = True
                    continue
                if faulty:
                    run.behind_faults += 1
                    if not behind_faults:
                        continue
                if point is not None:
                    tag, step, wall_time, number = point
                    tag._add(step, wall_time, number)
                else:
                    assert event is not None
                    wall_time = event.wall_time
                    run._add_event(event, decoder)
                run.events += 1
                if run.first_wall_time is None:
                    run.first_wall_time = wall_time
                run.last_wall_time = wall_time
                if wall_time - wall_time != 0.0:
                    run.non_finite_wall_times += 1
    return run
