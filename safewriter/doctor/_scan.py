"""One pass over a run: its files' faults and times, and its tags."""

from __future__ import annotations

import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2

from safewriter._tfrecord import FRAMING
from safewriter.doctor._finding import Finding
from safewriter.doctor._tags import Tag, add_value
from safewriter.events import Record, Verdict
from safewriter.events._events import ScalarDecoder
from safewriter.events._records import EventFile, parse
from safewriter.runs._names import printable
from safewriter.runs._walk import Directory

LIVE_SECONDS = 120.0
"""A file written to within this time may have a writer: torch's flushes after 120 s by default."""


@dataclass(slots=True)
class FileScan:
    """What one event file holds, up to its first fault unless said otherwise."""

    path: str
    size: int = 0
    mtime: float = 0.0
    records: int = 0
    data: int = 0  # events that hold something to show
    created: float | None = None  # wall time of the first record
    first_wall: float | None = None  # of an event that holds something to show
    last_wall: float | None = None
    fault: Record | None = None
    faults: int = 0
    behind: int = 0  # intact records behind the first fault
    bad_walls: int = 0
    bad_wall_offset: int = 0
    bad_wall_nan: bool = False
    error: OSError | None = None

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def shown(self) -> str:
        """The name for a message and for JSON."""
        return printable(self.name)

    @property
    def live(self) -> bool:
        """Whether the file was written to just now."""
        return abs(time.time() - self.mtime) < LIVE_SECONDS


@dataclass(slots=True)
class Purge:
    """A session start that TensorBoard's Python reader does not take for a restart."""

    step: int
    file: int
    tags: int


@dataclass
class RunScan:
    """What one run directory holds."""

    path: str
    name: str
    files: list[FileScan] = field(default_factory=list)
    tags: dict[str, Tag] = field(default_factory=dict)
    has_graph: bool = False
    starts: int = 0
    idle_purge: Purge | None = None

    @property
    def has_data(self) -> bool:
        return any(file.data for file in self.files)

    @property
    def has_curves(self) -> bool:
        """Whether some page other than Text, Graphs and HParams shows anything."""
        return any(tag.kind not in _NO_CURVES for tag in self.tags.values())

    @property
    def live(self) -> bool:
        return any(file.live for file in self.files)

    def finding(
        self, code: str, message: str, path: str = "", /, *, fixable: bool = False, **evidence: Any
    ) -> Finding:
        """Return a finding about the run, or about the file of it at ``path``."""
        return Finding(code, message, Path(path or self.path), self.name, evidence, fixable=fixable)


_NO_CURVES = {"tensor:text", "tensor:hparams"}


def scan_run(directory: Directory) -> RunScan:
    """Read the event files of a directory."""
    run = RunScan(directory.path, directory.name)
    decoder: ScalarDecoder[Tag] = ScalarDecoder()
    for index, path in enumerate(directory.files):
        file = FileScan(path)
        run.files.append(file)
        try:
            status = os.stat(path)
            file.size, file.mtime = status.st_size, status.st_mtime
            _scan_file(run, file, index, decoder)
        except OSError as error:
            file.error = error
    for tag in run.tags.values():
        tag.end()
    return run


def _scan_file(run: RunScan, file: FileScan, index: int, decoder: ScalarDecoder[Tag]) -> None:
    decode = decoder.decode
    with EventFile(file.path) as source:
        for offset, data in source.pieces():
            if isinstance(data, Record):
                _fault(file, data)
                continue
            point = decode(data)
            event: Any = None
            if point is None and (event := parse(data)) is None:
                _fault(file, Record(offset, len(data) + FRAMING, Verdict.UNDECODABLE, b""))
                continue
            if file.fault is not None:
                file.behind += 1
                continue
            file.records += 1
            if point is not None:
                tag, step, wall, value = point
                tag.add(index, step, value)
            else:
                wall = event.wall_time
                if not _add_event(run, index, event, decoder):
                    if file.created is None:
                        file.created = wall
                    continue
            file.data += 1
            if wall - wall != 0.0:
                if not file.bad_walls:
                    file.bad_wall_offset = offset
                file.bad_walls += 1
                file.bad_wall_nan |= math.isnan(wall)
                continue
            file.last_wall = wall
            if file.first_wall is None:
                file.first_wall = wall
                if file.created is None:
                    file.created = wall


def _fault(file: FileScan, fault: Record) -> None:
    file.faults += 1
    if file.fault is None:
        file.fault = fault


def _add_event(run: RunScan, index: int, event: Any, decoder: ScalarDecoder[Tag]) -> bool:
    """Take an event that is not a plain scalar; return whether it holds something to show."""
    what = event.WhichOneof("what")
    if what == "summary":
        for value in event.summary.value:
            add_value(run.tags, index, event.step, value)
            if value.HasField("simple_value"):
                tag = run.tags[value.tag]
                if tag.kind == "scalar" and tag.other_kind is None:
                    decoder.learn(value.tag, tag)
        return True
    if what == "session_log" and event.session_log.status == event_pb2.SessionLog.START:
        _purge(run, index, event.step)
    elif what in ("graph_def", "meta_graph_def"):
        run.has_graph = True
        return True
    return False


def _purge(run: RunScan, index: int, step: int) -> None:
    run.starts += 1
    hit = sum([tag.purge(step) for tag in run.tags.values()])
    if run.starts == 1:  # taken for the start of the run, not for a restart
        if hit:
            run.idle_purge = Purge(step, index, hit)
    elif run.idle_purge is not None and step <= run.idle_purge.step:
        run.idle_purge = None
