"""Fuzz ``safewriter.events`` with atheris, guided by coverage. No part of the test run.

    pip install atheris
    python tests/fuzz/fuzz_events.py -max_total_time=300 -max_len=4096

An input describes a file piece by piece, so that a good part of it has right CRCs: random bytes
alone would never get past the first one. Any exception, a wrong result, or 10 seconds for one input
ends the run.
"""

from __future__ import annotations

import math
import os
import struct
import sys
import tempfile

import atheris  # type: ignore[import-untyped]
import google_crc32c

with atheris.instrument_imports(include=["safewriter"]):
    from safewriter.events import (
        Verdict,
        _records,
        read_events,
        read_records,
        read_scalars,
        summarise,
    )

_WHOLE = (Verdict.OK, Verdict.BEHIND_FAULT, Verdict.UNDECODABLE)
_PATH = os.path.join(tempfile.mkdtemp(prefix="fuzz-events-"), "events.out.tfevents.1")


def _crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _header(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + _crc(packed)


def _frame(payload: bytes) -> bytes:
    return _header(len(payload)) + payload + _crc(payload)


def _scalar(tag: bytes, step: bytes, value: bytes) -> bytes:
    tagged = b"\x0a" + bytes([len(tag)]) + tag + b"\x15" + value
    summary = b"\x0a" + bytes([len(tagged)]) + tagged
    return b"\x09" + bytes(8) + b"\x10" + step + b"\x2a" + bytes([len(summary)]) + summary


def _file(source: atheris.FuzzedDataProvider) -> bytes:
    """Build a file from whole, torn, damaged and unwritten records, and from anything else."""
    pieces: list[bytes] = []
    while source.remaining_bytes() and len(pieces) < 40:
        kind = source.ConsumeIntInRange(0, 6)
        if kind == 0:
            pieces.append(source.ConsumeBytes(source.ConsumeIntInRange(0, 40)))
        elif kind == 1:
            pieces.append(bytes(source.ConsumeIntInRange(0, 200)))
        elif kind == 2:
            pieces.append(_header(source.ConsumeIntInRange(0, 2**64 - 1)))
        elif kind == 3:
            pieces.append(_header(source.ConsumeIntInRange(0, 300)))
        elif kind == 4:
            record = _frame(source.ConsumeBytes(source.ConsumeIntInRange(0, 60)))
            pieces.append(record[: source.ConsumeIntInRange(0, len(record))])
        elif kind == 5:
            pieces.append(_frame(source.ConsumeBytes(source.ConsumeIntInRange(0, 120))))
        else:
            tag = source.ConsumeBytes(source.ConsumeIntInRange(0, 6))
            step = source.ConsumeBytes(source.ConsumeIntInRange(0, 10))
            pieces.append(_frame(_scalar(tag, step, source.ConsumeBytes(4))))
    return b"".join(pieces)


def _intact(data: bytes) -> list[tuple[int, bytes]]:
    """Return the intact records, found by trying each byte behind a fault."""
    found, offset = [], 0
    while offset + 16 <= len(data):
        length = struct.unpack_from("<Q", data, offset)[0]
        stop = offset + 12 + length
        payload = data[offset + 12 : stop] if stop + 4 <= len(data) else b""
        if data[offset : stop + 4] == _frame(payload) and stop + 4 <= len(data):
            found.append((offset, payload))
            offset = stop + 4
        else:
            offset += 1
    return found


def _same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def check(raw: bytes) -> None:
    """Read one file in every way and compare."""
    source = atheris.FuzzedDataProvider(raw)
    _records._CHUNK = source.PickValueInList([16, 40, 128, 1 << 20])
    data = _file(source)
    with open(_PATH, "wb") as file:
        file.write(data)

    records = list(read_records(_PATH))
    offset = 0
    for record in records:
        assert record.offset == offset
        assert record.length > 0
        offset += record.length
    assert offset == len(data)
    whole = [record for record in records if record.verdict in _WHOLE]
    assert [(record.offset, record.data) for record in whole] == _intact(data)

    for behind in (False, True):
        events = list(read_events(_PATH, behind_faults=behind))
        wanted = _WHOLE[: 1 + behind]
        assert len(events) == sum(record.verdict in wanted for record in records)
        points: dict[str, list[tuple[int, float, float]]] = {}
        for event in events:
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    point = (event.step, event.wall_time, value.simple_value)
                    points.setdefault(value.tag, []).append(point)
        curves = read_scalars(_PATH, behind_faults=behind)
        run = summarise(_PATH, behind_faults=behind)
        assert run.events == len(events)
        for tag, expected in points.items():
            found = list(zip(*(column.tolist() for column in curves[tag]), strict=True))
            # Tensors for the scalars plugin are points too, and are not in `expected`.
            assert len(found) >= len(expected)
            if len(found) == len(expected):
                for one, other in zip(found, expected, strict=True):
                    assert all(map(_same, one, other))
            assert run.tags[tag].count >= len(expected)
    assert run.fault_count == sum(record.verdict not in _WHOLE[:2] for record in records)


if __name__ == "__main__":
    # Instrumented code loses about 50 KB of memory an input (atheris 3.0); without, it loses none.
    limits = ["-timeout=10", "-rss_limit_mb=8192"]
    atheris.Setup([sys.argv[0], *limits, *sys.argv[1:]], check)
    atheris.Fuzz()
