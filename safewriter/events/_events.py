"""The events of a file or a run, and the scalar curves in them."""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2

from safewriter._kinds import scalar_value, value_kind

from ._records import EventFile, Record, StrPath, parse
from ._waiting import waiting_files

if TYPE_CHECKING:
    import numpy.typing as npt

_FLOAT = struct.Struct("<f").unpack_from
_WALL_TIME_AND_STEP = struct.Struct("<BdBBBBB").unpack_from

T = TypeVar("T")


def event_files(directory: StrPath) -> list[str]:
    """Return the absolute paths of a directory's event files, in TensorBoard's reading order.

    Event files are the regular files, and links to such, with ``tfevents`` in their name; the order
    is that of the bytes of the names. Directories below are left out: each is a run of its own.

    Raises:
        OSError: The directory is missing, cannot be read, or is not a directory.
    """
    with os.scandir(os.path.abspath(directory)) as entries:
        paths = [entry.path for entry in entries if "tfevents" in entry.name and entry.is_file()]
    return sorted(paths, key=os.fsencode)


def files_of(path: StrPath) -> list[str]:
    """Return the event files that ``path``, a file or a directory, stands for."""
    path = os.fspath(path)
    if not os.path.isdir(path):
        return [os.path.abspath(path)]
    waiting = [file for subdir, file in waiting_files(os.path.abspath(path)) if not subdir]
    return event_files(path) + waiting


def read_events(path: StrPath, *, behind_faults: bool = False) -> Iterator[event_pb2.Event]:
    """Yield the events of an event file or of a run directory.

    They are ``tensorboard.compat.proto.event_pb2.Event`` objects. The files of a directory are read
    one after the other, in the order of ``event_files``; directories below it are not read.

    Args:
        path: An event file or a run directory.
        behind_faults: Whether to go on behind a fault within a file. If not, reading goes on with
            the next file there, as TensorBoard does when it checks CRCs. Records behind a fault are
            intact all the same, but after bytes were lost nothing proves that they are all there
            is.

    Raises:
        OSError: A file is missing, cannot be read, or is not a regular file.
    """
    for name in files_of(path):
        with EventFile(name) as file:
            for _, data in file.pieces(behind_faults=behind_faults):
                event = None if isinstance(data, Record) else parse(data)
                if event is not None:
                    yield event
                elif not behind_faults:
                    break


class ScalarDecoder(Generic[T]):
    """Decodes the events that ``add_scalar`` writes, three times as fast as protobuf.

    Such an event is ``09`` wall time (8 bytes) [``10`` step (varint)] tail value (4 bytes), and the
    tail, which is ``2a`` length ``0a`` length ``0a`` length tag ``15``, is the same for every event
    of a tag. A tail is learnt by letting protobuf serialise it, so an event that has it can mean
    nothing else.
    """

    def __init__(self) -> None:
        self._targets: dict[bytes, T] = {}

    def learn(self, tag: str, target: T) -> None:
        """Decode the tag's events from now on, and return ``target`` with them."""
        value = summary_pb2.Summary.Value(tag=tag, simple_value=1.0)
        event = event_pb2.Event(summary=summary_pb2.Summary(value=[value]))
        self._targets[event.SerializeToString()[:-4]] = target

    def decode(self, data: bytes) -> tuple[T, int, float, float] | None:
        """Return target, step, wall time and value; None for whatever protobuf has to decode."""
        size = len(data)
        if size < 21:
            return None
        first, wall_time, key, step, second, third, fourth = _WALL_TIME_AND_STEP(data)
        if first != 0x09:
            return None
        # A varint has 7 bits a byte, lowest first, and the eighth says that more follow.
        if key != 0x10:
            start, step = 9, 0
        elif step < 128:
            start = 11
        elif second < 128:
            start, step = 12, step + (second << 7) - 0x80
        elif third < 128:
            start, step = 13, step + (second << 7) + (third << 14) - 0x4080
        elif fourth < 128:
            start, step = 14, step + (second << 7) + (third << 14) + (fourth << 21) - 0x204080
        else:
            return None
        target = self._targets.get(data[start:-4])
        if target is None:
            return None
        return target, step, wall_time, _FLOAT(data, size - 4)[0]


_Columns = tuple["array[int]", "array[float]", "array[float]"]


class Scalars(NamedTuple):
    """The points of a scalar tag: three arrays of one length, in the order of logging.

    Attributes:
        steps: The steps (int64).
        wall_times: When each was logged, in seconds since the epoch (float64).
        values: The values (float64, which holds every float32 and every double that was logged).
    """

    steps: npt.NDArray[np.int64]
    wall_times: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


def read_scalars(path: StrPath, *, behind_faults: bool = False) -> dict[str, Scalars]:
    """Return every point of every scalar tag of an event file or of a run directory, by tag.

    Nothing is thinned out, purged or sorted: a step that was logged twice is there twice. Takes 24
    bytes a point. ``path``, ``behind_faults`` and the errors raised are those of ``read_events``.
    """
    columns: dict[str, _Columns] = {}
    decoder: ScalarDecoder[_Columns] = ScalarDecoder()
    for name in files_of(path):
        with EventFile(name) as file:
            for _, data in file.pieces(behind_faults=behind_faults):
                if isinstance(data, Record):
                    continue
                if (point := decoder.decode(data)) is not None:
                    (steps, wall_times, values), step, wall_time, number = point
                    steps.append(step)
                    wall_times.append(wall_time)
                    values.append(number)
                    continue
                if (event := parse(data)) is None:
                    if behind_faults:
                        continue
                    break
                for value in event.summary.value:
                    if value_kind(value) != "scalar":
                        continue
                    if value.tag not in columns:
                        columns[value.tag] = array("q"), array("d"), array("d")
                        decoder.learn(value.tag, columns[value.tag])
                    steps, wall_times, values = columns[value.tag]
                    steps.append(event.step)
                    wall_times.append(event.wall_time)
                    values.append(scalar_value(value))
    return {
        tag: Scalars(
            np.frombuffer(steps, np.int64), np.frombuffer(wall_times), np.frombuffer(values)
        )
        for tag, (steps, wall_times, values) in columns.items()
    }
