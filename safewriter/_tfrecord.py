"""The record format of event files, for the writer, the reader and the repair.

An event file is a row of records (TensorFlow's record format). A record is, in little-endian order,

    uint64 length | uint32 CRC of the length | payload, ``length`` bytes | uint32 CRC of the payload

where a CRC is a CRC-32C, rotated right by 15 bits and increased by `MASK`, and the payload a
serialised ``tensorboard.Event``. This module knows no tags and no torch.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from google_crc32c import value as crc32c
from tensorboard.compat.proto.event_pb2 import Event, SourceMetadata

HEADER = 12  # bytes before a payload: its length, and the CRC of that
FOOTER = 4  # bytes behind it: its CRC
FRAMING = HEADER + FOOTER
# protobuf refuses to parse 2 GiB or more: a longer record is no event, whatever its CRC says.
MAX_LENGTH = 2**31 - 1
MASK = 0xA282EAD8
FILE_VERSION = "brain.Event:2"

_HEADER = struct.Struct("<QI").unpack
# A factor that writes 32 bits twice in a row, so that any 32 of the product's bits are the CRC,
# rotated.
_TWICE = 2**32 + 1


def masked(crc: int) -> int:
    """Mask a CRC-32C as the record format asks."""
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


def payload_length(header: bytes) -> int | None:
    """Return the payload's length that a record's first bytes give, or None if they are none."""
    if len(header) < HEADER:
        return None
    length, crc = _HEADER(header)
    if length > MAX_LENGTH or crc != masked(crc32c(header[:8])):
        return None
    return int(length)


def is_footer(footer: bytes, crc: int) -> bool:
    """Whether these bytes stand behind a payload with this CRC-32C."""
    return masked(crc) == int.from_bytes(footer, "little")


# By the size of the payload: what packs a record, and its length with the checksum of that.
_frames: dict[int, tuple[Callable[..., bytes], bytes]] = {}


def frame(payload: bytes) -> bytes:
    """Frame a payload as one record."""
    size = len(payload)
    known = _frames.get(size)
    if known is None:
        length = struct.pack("<Q", size)
        header = length + struct.pack("<I", masked(crc32c(length)))
        known = struct.Struct(f"<{len(header)}s{size}sI").pack, header
        if len(_frames) < 4096:
            _frames[size] = known
    pack, header = known
    # The mask is written out again, in fewer steps: a call would cost as much as the checksum.
    crc = (crc32c(payload) * _TWICE >> 15) + MASK & 0xFFFFFFFF
    return pack(header, payload, crc)


def version_record() -> bytes:
    """Return the record that every event file begins with; without it a run is not listed."""
    event = Event(
        wall_time=time.time(),
        file_version=FILE_VERSION,
        source_metadata=SourceMetadata(writer="safewriter"),
    )
    return frame(event.SerializeToString())
