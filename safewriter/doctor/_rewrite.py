"""Write the readable records of event files to a new one."""

from __future__ import annotations

import heapq
import math
import os
import struct
from collections.abc import Iterator
from contextlib import suppress

from tensorboard.compat.proto import event_pb2

from safewriter._tfrecord import FILE_VERSION, frame
from safewriter.events import Verdict, read_records

_READABLE = (Verdict.OK, Verdict.BEHIND_FAULT)


def rewrite(paths: list[str], new: str) -> None:
    """Write every readable record of ``paths`` to ``new``, merged by wall time, and sync it.

    Records of one file keep their order, and their bytes: only a wall time that is not finite is
    replaced, by that of the record before it. The new file gets mode, owner and time of the last.

    Raises:
        OSError: a file cannot be read or written; ``new`` may be left behind.
    """
    files = (_timed(path, index) for index, path in enumerate(paths))
    records = heapq.merge(*files, key=lambda record: record[:2])
    with open(new, "wb", buffering=1 << 20) as file:
        for number, (wall, _, data) in enumerate(records):
            if number == 0 and not event_pb2.Event.FromString(data).HasField("file_version"):
                version = event_pb2.Event(wall_time=wall, file_version=FILE_VERSION)
                file.write(frame(version.SerializeToString()))
            file.write(frame(data))
        file.flush()
        os.fsync(file.fileno())
    status = os.stat(paths[-1])
    os.chmod(new, status.st_mode & 0o7777)
    with suppress(PermissionError):  # only root gives files away
        os.chown(new, status.st_uid, status.st_gid)
    newest = max((os.stat(path) for path in paths), key=lambda status: status.st_mtime_ns)
    os.utime(new, ns=(newest.st_atime_ns, newest.st_mtime_ns))


def _timed(path: str, index: int) -> Iterator[tuple[float, int, bytes]]:
    """Yield (wall time, index, payload) of the readable records; the times never go down."""
    latest = -math.inf
    for record in read_records(path):
        if record.verdict not in _READABLE:
            continue
        data = record.data
        wall = _wall_time(data)
        if not math.isfinite(wall):
            event = event_pb2.Event.FromString(data)
            event.wall_time = wall = latest if math.isfinite(latest) else 0.0
            data = event.SerializeToString()
        latest = max(latest, wall)
        yield latest, index, data


def _wall_time(data: bytes) -> float:
    if data[:1] == b"\x09" and len(data) >= 9:  # field 1, as every writer puts it
        return float(struct.unpack_from("<d", data, 1)[0])
    return float(event_pb2.Event.FromString(data).wall_time)
