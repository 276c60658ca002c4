"""Damaged runs, byte by byte, and what TensorBoard's two readers show of each.

All of them stand side by side below one log directory, so that one server shows them all. What
breaks a whole server is in `test_tree`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tensorboard.compat.proto import types_pb2
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto

from tests.support import TensorBoardServer
from tests.support.event_bytes import (
    frame,
    scalar_record,
    torn,
    version_record,
    with_bad_length_crc,
    with_bad_payload,
    with_bad_payload_crc,
)

START = 1_700_000_000.0
"""Wall time of the first event."""

HTTP_500: list[int] = [-500]
"""Stands for the steps of a tag that TensorBoard answers with an error."""

View = dict[str, list[int]] | None
"""The steps of each scalar tag that a reader shows; None for a run that it does not list."""


def name(counter: int = 0, *, second: int = 0, pid: int = 100) -> str:
    """Return an event file's name in torch's pattern."""
    return f"events.out.tfevents.{int(START) + second:010d}.host.{pid}.{counter}"


def scalars(tag: str, steps: Iterable[int], *, after: float = 0.0, apart: float = 1.0) -> bytes:
    """Return a record for each step, ``apart`` seconds from one to the next."""
    return b"".join(
        scalar_record(tag, step / 2, step, START + after + number * apart)
        for number, step in enumerate(steps)
    )


def summary_record(value: Summary.Value, step: int) -> bytes:
    """Return one value as a record."""
    event = Event(wall_time=START + step, step=step, summary=Summary(value=[value]))
    return frame(event.SerializeToString())


def tensor(
    tag: str,
    step: int,
    dtype: int,
    plugin: str | None = "scalars",
    number: float | None = None,
) -> bytes:
    """Return a record with one number (the step if none is given), as TensorFlow 2 writes it."""
    content = TensorProto(dtype=dtype)
    if dtype == types_pb2.DT_DOUBLE:
        content.double_val.append(step)
    elif dtype == types_pb2.DT_STRING:
        content.string_val.append(b"word")
        content.tensor_shape.dim.add(size=1)
    else:
        content.float_val.append(step if number is None else number)
    value = Summary.Value(tag=tag, tensor=content)
    if plugin is not None:
        value.metadata.plugin_data.plugin_name = plugin
    return summary_record(value, step)


def histogram(tag: str, step: int) -> bytes:
    """Return a record with a histogram of one value."""
    bins = HistogramProto(min=0, max=1, num=1, sum=1, sum_squares=1, bucket_limit=[1], bucket=[1])
    return summary_record(Summary.Value(tag=tag, histo=bins), step)


def session_start(step: int, after: float) -> bytes:
    """Return what torch's ``purge_step`` writes."""
    log = SessionLog(status=SessionLog.START)
    return frame(Event(wall_time=START + after, step=step, session_log=log).SerializeToString())


def write(run: Path, *chunks: bytes, file: str | None = None) -> Path:
    """Write an event file that nobody has touched for a long time."""
    run.mkdir(parents=True, exist_ok=True)
    path = run / (file or name())
    path.write_bytes(b"".join(chunks))
    os.utime(path, (START, START))
    return path


@dataclass(frozen=True)
class Situation:
    """One run that is not as it should be.

    Attributes:
        run: its name.
        code: the finding for it; the only one.
        build: makes it in an empty directory.
        fast: what the default reader shows.
        python: what ``--load_fast=false`` shows.
        fixed: what both show after ``--fix``; None if it cannot be fixed.
        evidence: a part of the finding's evidence.
    """

    run: str
    code: str
    build: Callable[[Path], object]
    fast: View
    python: View
    fixed: View = None
    evidence: dict[str, object] = field(default_factory=dict)


def _one_file(*chunks: bytes) -> Callable[[Path], object]:
    return lambda run: write(run, version_record(START), *chunks)


def _two_files(first: tuple[str, bytes], second: tuple[str, bytes]) -> Callable[[Path], object]:
    def build(run: Path) -> None:
        for file, data in (first, second):
            write(run, version_record(START), data, file=file)

    return build


_ALL = list(range(10))
_HEAD = scalars("a", range(5))
_TAIL = scalars("a", range(6, 10), after=6)
_FIFTH = scalar_record("a", 2.5, 5, START + 5)
_SHOWN_HEAD = {"a": [0, 1, 2, 3, 4]}
_WITHOUT_FIFTH = {"a": [0, 1, 2, 3, 4, 6, 7, 8, 9]}
_OFFSET = len(version_record(START) + _HEAD)
_WHOLE = _one_file(scalars("a", range(10)))


def _beside_whole(file: str, data: bytes) -> Callable[[Path], object]:
    def build(run: Path) -> None:
        _WHOLE(run)
        write(run, data, file=file)

    return build


SITUATIONS = [
    Situation("empty-file", "SW201", lambda run: write(run), None, {}, evidence={"size": 0}),
    Situation(
        "half-a-version",
        "SW201",
        lambda run: write(run, version_record(START)[:10]),
        None,
        {},
        evidence={"size": 10},
    ),
    Situation("never-logged", "SW202", _one_file(), {}, {}),
    Situation(
        "torn-tail",
        "SW203",
        _one_file(_HEAD, torn(_FIFTH, 20)),
        _SHOWN_HEAD,
        _SHOWN_HEAD,
        evidence={"offset": _OFFSET, "bytes": 20},
    ),
    Situation("torn-header", "SW203", _one_file(_HEAD, torn(_FIFTH, 6)), _SHOWN_HEAD, _SHOWN_HEAD),
    Situation(
        "bad-checksum",
        "SW204",
        _one_file(_HEAD, with_bad_payload_crc(_FIFTH), _TAIL),
        {"a": _ALL},
        _SHOWN_HEAD,
        _WITHOUT_FIFTH,
        {"offset": _OFFSET, "records_behind": 4},
    ),
    Situation(
        "damaged-payload",
        "SW204",
        _one_file(_HEAD, with_bad_payload(_FIFTH, at=len(_FIFTH) - 18), _TAIL),
        {"a": _ALL},
        _SHOWN_HEAD,
        _WITHOUT_FIFTH,
    ),
    Situation(
        "zero-tail",
        "SW205",
        _one_file(_HEAD, bytes(4096)),
        _SHOWN_HEAD,
        _SHOWN_HEAD,
        _SHOWN_HEAD,
        {"offset": _OFFSET, "fault": "zeros"},
    ),
    Situation(
        "torn-and-appended-to",
        "SW206",
        _one_file(_HEAD, torn(_FIFTH, 20), _TAIL),
        _SHOWN_HEAD,
        _SHOWN_HEAD,
        _WITHOUT_FIFTH,
        {"offset": _OFFSET, "records_behind": 4, "fault": "torn"},
    ),
    Situation(
        "bad-length-checksum",
        "SW206",
        _one_file(_HEAD, with_bad_length_crc(_FIFTH), _TAIL),
        _SHOWN_HEAD,
        _SHOWN_HEAD,
        _WITHOUT_FIFTH,
        {"records_behind": 4, "fault": "bad length CRC"},
    ),
    Situation(
        "zeros-in-the-middle",
        "SW206",
        _one_file(_HEAD, bytes(64), _TAIL),
        _SHOWN_HEAD,
        _SHOWN_HEAD,
        _WITHOUT_FIFTH,
        {"records_behind": 4, "fault": "zeros"},
    ),
    Situation(
        "garbage-at-the-end",
        "SW207",
        _one_file(_HEAD, b"Traceback (most recent call last):\n" * 3),
        _SHOWN_HEAD,
        _SHOWN_HEAD,
        _SHOWN_HEAD,
    ),
    Situation(
        "nan-wall-time",
        "SW209",
        _one_file(_HEAD, scalar_record("a", 2.5, 5, math.nan), _TAIL),
        _SHOWN_HEAD,
        {"a": _ALL},
        {"a": _ALL},
        {"events": 1, "offset": _OFFSET, "nan": True},
    ),
    Situation(
        "infinite-wall-time",
        "SW209",
        _one_file(_HEAD, scalar_record("a", 2.5, 5, math.inf), _TAIL),
        _WITHOUT_FIFTH,
        {"a": _ALL},
        {"a": _ALL},
        {"nan": False},
    ),
    Situation(
        "counter-with-another-digit",
        "SW301",
        _two_files(
            (name(2), scalars("a", range(5))), (name(10), scalars("a", range(5, 10), after=100))
        ),
        _SHOWN_HEAD,
        {"a": [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]},
        {"a": _ALL},
    ),
    Situation(
        "two-writers",
        "SW302",
        _two_files(
            (name(pid=100), scalars("a", range(0, 10, 2), apart=2)),
            (name(pid=200), scalars("a", range(1, 10, 2), apart=2, after=1)),
        ),
        {"a": [0, 1, 3, 5, 7, 9]},
        {"a": [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]},
        {"a": _ALL},
        {"file_count": 2, "tags": ["a"]},
    ),
    Situation(
        "two-starts",
        "SW305",
        _two_files(
            (name(), scalars("a", range(10))),
            (name(second=100), scalars("a", range(5), after=100)),
        ),
        _SHOWN_HEAD,
        {"a": [*_ALL, 0, 1, 2, 3, 4]},
        evidence={"from_step": 9, "to_step": 0},
    ),
    Situation(
        "steps-go-back",
        "SW401",
        _one_file(scalars("a", [*range(10), 5, 6])),
        {"a": [0, 1, 2, 3, 4, 5, 6]},
        {"a": [*_ALL, 5, 6]},
        evidence={"from_step": 9, "to_step": 5, "times": 1},
    ),
    Situation(
        "steps-back-to-zero",
        "SW401",
        _one_file(scalars("a", [*range(10), 0, 1, 2])),
        {"a": [0, 1, 2]},
        {"a": [*_ALL, 0, 1, 2]},
        evidence={"from_step": 9, "to_step": 0},
    ),
    Situation(
        "no-step-at-all",
        "SW402",
        _one_file(*(scalar_record("a", value, 0, START + value) for value in range(10))),
        {"a": [0]},
        {"a": [0] * 10},
        evidence={"step": 0, "repeats": 9},
    ),
    Situation(
        "one-step-forgotten",
        "SW403",
        _one_file(scalars("a", [*range(10), 0])),
        {"a": [0]},
        {"a": [*_ALL, 0]},
        evidence={"behind": 9},
    ),
    Situation(
        "one-step-forgotten-in-the-middle",
        "SW403",
        _one_file(scalars("a", [*range(10), 0, 11, 12])),
        {"a": [0, 11, 12]},
        {"a": [*_ALL, 0, 11, 12]},
    ),
    Situation(
        "purge-step",
        "SW404",
        _two_files(
            (name(), scalars("a", range(10)) + scalars("b", range(10))),
            (
                name(second=100),
                session_start(5, 100) + scalars("a", [5, 6], after=101),
            ),
        ),
        {"a": [0, 1, 2, 3, 4, 5, 6], "b": _ALL},
        {"a": [*_ALL, 5, 6], "b": _ALL},
        evidence={"step": 5, "tag_count": 2},
    ),
    Situation(
        "scalar-and-histogram-at-one-step",
        "SW405",
        _one_file(*(scalars("a", [step]) + histogram("a", step) for step in range(5))),
        {},
        {"a": HTTP_500},
        evidence={"kinds": ["scalar", "histogram"]},
    ),
    Situation(
        "scalar-then-histogram",
        "SW405",
        _one_file(_HEAD, *(histogram("a", step) for step in range(5, 10))),
        _SHOWN_HEAD,
        {"a": HTTP_500},
    ),
    Situation(
        "histogram-then-scalar",
        "SW405",
        _one_file(*(histogram("a", step) for step in range(5)), scalars("a", range(5, 10))),
        {},
        {},
    ),
    Situation(
        "double-precision",
        "SW406",
        _one_file(*(tensor("a", step, types_pb2.DT_DOUBLE) for step in range(5))),
        {},
        _SHOWN_HEAD,
        evidence={"points": 5},
    ),
    Situation(
        "no-metadata",
        "SW407",
        _one_file(*(tensor("a", step, types_pb2.DT_FLOAT, None) for step in range(5))),
        {},
        {},
    ),
    Situation(
        "metadata-too-late",
        "SW407",
        _one_file(
            tensor("a", 0, types_pb2.DT_FLOAT, None),
            *(tensor("a", step, types_pb2.DT_FLOAT) for step in range(1, 5)),
        ),
        {},
        {},
    ),
    Situation(
        "diverged",
        "SW408",
        _one_file(
            _HEAD, *(scalar_record("a", math.nan, step, START + step) for step in range(5, 10))
        ),
        {"a": _ALL},
        {"a": _ALL},
        evidence={"step": 5, "points": 5, "count": 10},
    ),
    Situation(
        "diverged-tensors",
        "SW408",
        _one_file(*(tensor("a", step, types_pb2.DT_FLOAT, number=math.inf) for step in range(5))),
        _SHOWN_HEAD,
        _SHOWN_HEAD,
        evidence={"step": 0, "points": 5, "count": 5},
    ),
    Situation(
        "text-only",
        "SW409",
        _one_file(tensor("t/text_summary", 0, types_pb2.DT_STRING, "text")),
        {},
        {},
        evidence={"kinds": ["text"]},
    ),
    Situation(
        "video-without-moviepy",
        "SW411",
        _one_file(
            _HEAD,
            summary_record(Summary.Value(tag="v"), 0),
            summary_record(Summary.Value(tag="v", image=Summary.Image(height=1, width=1)), 1),
        ),
        _SHOWN_HEAD,
        _SHOWN_HEAD,
        evidence={"tag": "v", "values": 1, "count": 1},
    ),
    Situation(
        "backup-beside",
        "SW501",
        _beside_whole(f"{name()}.bak", version_record(START) + scalars("a", range(4))),
        {"a": [0, 1, 2, 3]},
        {"a": [*_ALL, 0, 1, 2, 3]},
        {"a": _ALL},
    ),
    Situation(
        "no-event-file",
        "SW501",
        _beside_whole(f"{name()}.x", b'{"tfevents": "in the name only"}'),
        {"a": _ALL},
        {"a": _ALL},
        {"a": _ALL},
    ),
]

HEALTHY: list[tuple[str, Callable[[Path], object], View]] = [
    ("healthy/one-file", _WHOLE, {"a": _ALL}),
    (
        "healthy/without-a-version",
        lambda run: write(run, scalars("a", range(10))),
        {"a": _ALL},
    ),
    (
        "healthy/resumed",
        _two_files(
            (name(), scalars("a", range(5))),
            (name(second=100), scalars("a", range(5, 10), after=100)),
        ),
        {"a": _ALL},
    ),
    (
        "healthy/purged",
        _two_files(
            (name(), scalars("a", range(8))),
            (
                name(second=100),
                session_start(5, 100) * 2 + scalars("a", range(5, 10), after=101),
            ),
        ),
        {"a": _ALL},
    ),
    (
        "healthy/the-same-value-again",
        _one_file(_HEAD, scalars("a", [4], after=5), _FIFTH, _TAIL),
        {"a": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]},
    ),
    (
        "healthy/metadata-once",
        _one_file(
            tensor("a", 0, types_pb2.DT_FLOAT),
            *(tensor("a", step, types_pb2.DT_FLOAT, None) for step in range(1, 10)),
        ),
        {"a": _ALL},
    ),
    (
        "healthy/two-writers-with-tags-of-their-own",
        _two_files(
            (name(pid=100), scalars("a", range(10))), (name(pid=200), scalars("b", range(10)))
        ),
        {"a": _ALL, "b": _ALL},
    ),
]


def views(server: TensorBoardServer) -> dict[str, dict[str, list[int]]]:
    """Return what a server shows: run to scalar tag to steps."""
    tags = server.get_json("data/plugin/scalars/tags")
    shown = {}
    for run in server.runs():
        shown[run] = {tag: _steps(server, run, tag) for tag in sorted(tags.get(run, ()))}
    return shown


def _steps(server: TensorBoardServer, run: str, tag: str) -> list[int]:
    if server.get("data/plugin/scalars/scalars", run=run, tag=tag)[0] == 500:
        return HTTP_500
    return [step for step, _ in server.scalars(run, tag)]
