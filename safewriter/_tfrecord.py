"""The record format of event files.

A record is the length of the payload, the checksum of that length, the payload, and its checksum;
integers are little-endian, checksums are masked CRC-32C (TensorFlow's record format). This module
knows no tags and no torch.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event, SourceMetadata

_CRC = struct.Struct("<I")

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
