"""What an event file consists of: its name, and its records.

A record is the length of the payload, the checksum of that length, the payload, and its checksum;
integers are little-endian, checksums are masked CRC-32C (TensorFlow's record format). This module
knows no tags and no torch.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable

from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event, SourceMetadata

_CRC = struct.Struct("<I")

#: How an event file is opened; ``O_APPEND`` because others may open it too.
OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


# What the record format adds to the rotated checksum; and a factor that writes 32 bits twice in a
# row, so that any 32 of the product's bits are the checksum, rotated.
_MASK = 0xA282EAD8
_TWICE = 2**32 + 1


def _masked(crc: int) -> int:
    """Mask a CRC-32C as the TFRecord format asks."""
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


# By the size of the payload: what packs a record, and its length with the checksum of that.
_frames: dict[int, tuple[Callable[..., bytes], bytes]] = {}


def frame(payload: bytes) -> bytes:
    """Frame a payload as one record."""
    size = len(payload)
    known = _frames.get(size)
    if known is None:
        length = struct.pack("<Q", size)
        header = length + _CRC.pack(_masked(crc32c(length)))
        known = struct.Struct(f"<{len(header)}s{size}sI").pack, header
        if len(_frames) < 4096:
            _frames[size] = known
    pack, header = known
    # The mask is written out again, in fewer steps: a call would cost as much as the checksum.
    masked = (crc32c(payload) * _TWICE >> 15) + _MASK & 0xFFFFFFFF
    return pack(header, payload, masked)


def version_record() -> bytes:
    """Return the record that every event file begins with; without it a run is not listed."""
    event = Event(
        wall_time=time.time(),
        file_version="brain.Event:2",
        source_metadata=SourceMetadata(writer="safewriter"),
    )
    return frame(event.SerializeToString())


def newest_timestamp(directory: str) -> int:
    """Return the largest timestamp in the names of the event files in `directory`, or -1.

    Names are compared byte by byte: of a timestamp that has not ten digits, the first ten decide.
    """
    newest = -1
    for name in os.listdir(directory):
        _, found, rest = name.partition("tfevents.")
        if found:
            digits = rest.split(".", 1)[0]
            if digits.isdecimal() and digits.isascii():
                newest = max(newest, int(digits[:10].ljust(10, "0")))
    return newest


def identity(status: os.stat_result) -> tuple[int, int]:
    """Return what tells a file from every other one."""
    return status.st_dev, status.st_ino


def create_event_file(
    directory: str, suffix: str = "", after: int = -1
) -> tuple[int, str, int, tuple[int, int]]:
    """Create a new event file whose name sorts after all others in `directory`.

    TensorBoard reads the files of a directory in name order, and a file that sorts before an older
    one hides its points. `after` is a timestamp to stay above as well: that of a file which was
    there once and which readers remember. Returns the descriptor, opened for append, the path, the
    timestamp and the :func:`identity`.
    """
    stamp = max(int(time.time()), newest_timestamp(directory) + 1, after + 1)
    while True:
        name = f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}.{os.getpid()}.0{suffix}"
        path = os.path.join(directory, name)
        try:
            descriptor = os.open(path, OPEN_FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            stamp += 1
        else:
            return descriptor, path, stamp, identity(os.fstat(descriptor))
