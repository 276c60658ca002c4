"""Event files byte by byte: whole, torn and damaged records.

A record is ``length (8 bytes) | its masked CRC (4) | payload | its masked CRC (4)``, integers
little-endian; the payload is a serialised ``Event``. This is TensorFlow's record format, which
TensorBoard's readers take.
"""

from __future__ import annotations

import struct

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event, SourceMetadata
from tensorboard.compat.proto.summary_pb2 import Summary

HEADER_SIZE = 12
"""Bytes before the payload: length and its CRC."""

FOOTER_SIZE = 4
"""Bytes after the payload: its CRC."""


def masked_crc(data: bytes) -> int:
    """Return the CRC-32C of ``data``, rotated and offset as the record format wants it."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """Return ``payload`` as one good record."""
    length = struct.pack("<Q", len(payload))
    return b"".join(
        [
            length,
            struct.pack("<I", masked_crc(length)),
            payload,
            struct.pack("<I", masked_crc(payload)),
        ]
    )


def version_record(wall_time: float = 1_700_000_000.0) -> bytes:
    """Return the record that every event file begins with, as tensorboard's writer makes it."""
    event = Event(
        wall_time=wall_time,
        file_version="brain.Event:2",
        source_metadata=SourceMetadata(writer="tensorboard.summary.writer.event_file_writer"),
    )
    return frame(event.SerializeToString())


def scalar_event(tag: str, value: float, step: int, wall_time: float = 1_700_000_000.0) -> bytes:
    """Return a serialised event with one scalar, as torch's ``add_scalar`` makes it."""
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    payload: bytes = Event(wall_time=wall_time, step=step, summary=summary).SerializeToString()
    return payload


def scalar_record(tag: str, value: float, step: int, wall_time: float = 1_700_000_000.0) -> bytes:
    """Return `scalar_event` as one good record."""
    return frame(scalar_event(tag, value, step, wall_time))


def torn(record: bytes, kept: int) -> bytes:
    """Return the first ``kept`` bytes of a record, as a killed writer leaves them."""
    if not 0 < kept < len(record):
        raise ValueError(f"a torn record keeps 1 to {len(record) - 1} bytes, not {kept}")
    return record[:kept]


def with_bad_payload_crc(record: bytes) -> bytes:
    """Return the record with a payload CRC that does not match; the payload still decodes."""
    return record[:-1] + bytes([record[-1] ^ 0xFF])


def with_bad_length_crc(record: bytes) -> bytes:
    """Return the record with a length CRC that does not match; the length is right."""
    return record[:8] + bytes([record[8] ^ 0xFF]) + record[9:]


def with_bad_payload(record: bytes, at: int = 0) -> bytes:
    """Return the record with one payload byte changed and the old CRC."""
    at += HEADER_SIZE
    return record[:at] + bytes([record[at] ^ 0xFF]) + record[at + 1 :]
