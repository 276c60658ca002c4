"""Reading records: what is intact is returned, what is not is named, and nothing is passed over."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path
from unittest import mock

import google_crc32c
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from safewriter.events import Record, Verdict, _records, read_records
from tests.support.event_bytes import (
    FOOTER_SIZE,
    HEADER_SIZE,
    frame,
    masked_crc,
    scalar_event,
    scalar_record,
    torn,
    version_record,
    with_bad_length_crc,
    with_bad_payload,
    with_bad_payload_crc,
)

# How long an example takes is the machine's business.
slow_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAME = "events.out.tfevents.1700000000.host.1.0"
GOOD = [version_record(), *(scalar_record("train/loss", 0.5, step) for step in range(4))]

payloads = st.one_of(
    st.builds(scalar_event, st.text(), st.floats(width=32), st.integers(0, 2**40)),
    st.builds(lambda data: Event(graph_def=data).SerializeToString(), st.binary(max_size=700)),
    st.just(b""),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where this module's tests put their event file, one after the other."""
    return tmp_path_factory.mktemp("run") / NAME


def _read(path: Path, data: bytes, *, offset: int = 0) -> list[Record]:
    path.write_bytes(data)
    return list(read_records(path, offset=offset))


def _verdicts(path: Path, *parts: bytes | bytearray) -> list[tuple[Verdict, int]]:
    return [(record.verdict, record.length) for record in _read(path, b"".join(parts))]


def _assert_tiles(records: list[Record], size: int, offset: int = 0) -> None:
    for record in records:
        assert record.offset == offset
        assert record.length > 0
        offset += record.length
    assert offset == size


def _intact_at(data: bytes, offset: int) -> bytes | None:
    """Return the payload of the intact record at an offset, by the definition of the format."""
    header = data[offset : offset + HEADER_SIZE]
    if len(header) < HEADER_SIZE:
        return None
    length, crc = struct.unpack("<QI", header)
    payload = data[offset + HEADER_SIZE : offset + HEADER_SIZE + length]
    stored = data[offset + HEADER_SIZE + length :][:FOOTER_SIZE]
    if crc != masked_crc(header[:8]) or len(payload) < length or len(stored) < FOOTER_SIZE:
        return None
    return payload if struct.unpack("<I", stored)[0] == masked_crc(payload) else None


def _intact_records(data: bytes) -> list[tuple[int, bytes]]:
    """Return every intact record, found by trying each byte behind a fault."""
    found, offset = [], 0
    while offset < len(data):
        if (payload := _intact_at(data, offset)) is None:
            offset += 1
        else:
            found.append((offset, payload))
            offset += len(payload) + HEADER_SIZE + FOOTER_SIZE
    return found


@slow_machine
@given(st.lists(payloads, max_size=12), st.sampled_from([64, 200, 1 << 20]))
def test_round_trip(path, written, chunk):
    """Every record that was written is read, in order, whatever the size of the chunks read."""
    with mock.patch.object(_records, "_CHUNK", chunk):
        records = _read(path, b"".join(map(frame, written)))
    assert [record.data for record in records] == written
    assert all(record.verdict is Verdict.OK for record in records)
    _assert_tiles(records, path.stat().st_size)


def test_truncation_at_every_byte(path):
    """A truncated file gives the whole records before the cut, and the rest as one torn record."""
    data = b"".join(GOOD)
    starts = [sum(map(len, GOOD[:count])) for count in range(len(GOOD) + 1)]
    for cut in range(len(data) + 1):
        records = _read(path, data[:cut])
        whole = max(count for count, start in enumerate(starts) if start <= cut)
        assert [record.verdict for record in records[:whole]] == [Verdict.OK] * whole
        rest = cut - starts[whole]
        assert records[whole:] == ([Record(starts[whole], rest, Verdict.TORN, b"")] if rest else [])


@pytest.mark.parametrize("bit", range(8))
def test_flipped_bit_at_every_byte(path, bit):
    """A flipped bit spoils its own record only, and the verdict says which part it is in."""
    before, victim, after = GOOD[1], GOOD[2], GOOD[3]
    for at in range(len(victim)):
        flipped = bytearray(victim)
        flipped[at] ^= 1 << bit
        part = Verdict.BAD_LENGTH_CRC if at < HEADER_SIZE else Verdict.BAD_DATA_CRC
        assert _verdicts(path, before, flipped, after) == [
            (Verdict.OK, len(before)),
            (part, len(victim)),
            (Verdict.BEHIND_FAULT, len(after)),
        ]


@pytest.mark.parametrize("count", [1, 7, 8, 11, 12, 13, 4096, 3_000_000])
def test_inserted_zeros(path, count):
    """Zero bytes between records are named, to the byte, and reading goes on behind them."""
    assert _verdicts(path, GOOD[1], bytes(count), GOOD[2]) == [
        (Verdict.OK, len(GOOD[1])),
        (Verdict.ZEROS, count),
        (Verdict.BEHIND_FAULT, len(GOOD[2])),
    ]


def test_zeros_up_to_the_end(path):
    """A file that ends in zeros gives them as one fault, one that has nothing else likewise."""
    assert _verdicts(path, GOOD[1], bytes(5000)) == [
        (Verdict.OK, len(GOOD[1])),
        (Verdict.ZEROS, 5000),
    ]
    assert _verdicts(path, bytes(2_500_000)) == [(Verdict.ZEROS, 2_500_000)]


def test_zeros_then_garbage(path):
    """Zeros and the garbage behind them are two faults."""
    garbage = b"\xff" * 100
    assert _verdicts(path, bytes(50), garbage, GOOD[1]) == [
        (Verdict.ZEROS, 50),
        (Verdict.BAD_LENGTH_CRC, 100),
        (Verdict.BEHIND_FAULT, len(GOOD[1])),
    ]


def test_a_length_that_begins_with_zero_bytes_is_not_taken_for_zeros(path):
    """Behind zeros, a record whose length is a multiple of 65536 is found where it begins."""
    large = frame(Event(graph_def=bytes(2**17 - 4)).SerializeToString())
    assert struct.unpack("<Q", large[:8])[0] == 2**17
    assert _verdicts(path, bytes(30), large) == [
        (Verdict.ZEROS, 30),
        (Verdict.BEHIND_FAULT, len(large)),
    ]


def test_poison_at_every_byte(path):
    """Good records behind a record torn at any byte are all found, and the torn one is named."""
    victim = GOOD[2]
    for kept in range(1, len(victim)):
        assert _verdicts(path, GOOD[1], torn(victim, kept), GOOD[3], GOOD[4]) == [
            (Verdict.OK, len(GOOD[1])),
            (Verdict.TORN, kept),
            (Verdict.BEHIND_FAULT, len(GOOD[3])),
            (Verdict.BEHIND_FAULT, len(GOOD[4])),
        ]


def test_poison_that_ends_where_a_later_record_begins(path):
    """Records within what a torn one claims are found, even if that ends where one begins."""
    victim = scalar_record("x" * 60, 1.0, 1)
    filler = scalar_record("y", 1.0, 1)
    kept = len(victim) - len(filler)
    assert _verdicts(path, torn(victim, kept), filler, GOOD[1]) == [
        (Verdict.TORN, kept),
        (Verdict.BEHIND_FAULT, len(filler)),
        (Verdict.BEHIND_FAULT, len(GOOD[1])),
    ]


@pytest.mark.parametrize(
    ("damage", "verdict"),
    [
        (with_bad_payload_crc, Verdict.BAD_DATA_CRC),
        (with_bad_payload, Verdict.BAD_DATA_CRC),
        (with_bad_length_crc, Verdict.BAD_LENGTH_CRC),
    ],
)
def test_many_damaged_records_in_a_row(path, damage, verdict):
    """Damaged records with a right length are told apart; without it they are one fault."""
    bad = damage(GOOD[1])
    one_by_one = verdict is Verdict.BAD_DATA_CRC
    assert _verdicts(path, GOOD[0], bad, bad, bad, GOOD[2], bad) == [
        (Verdict.OK, len(GOOD[0])),
        *([(verdict, len(bad))] * 3 if one_by_one else [(verdict, 3 * len(bad))]),
        (Verdict.BEHIND_FAULT, len(GOOD[2])),
        (verdict, len(bad)),
    ]


def test_undecodable(path):
    """A record whose payload is no event is a fault, and its payload is there to look at."""
    not_utf8 = scalar_event("ab", 1.0, 1).replace(b"ab", b"\xff\xfe")
    records = _read(path, GOOD[1] + frame(not_utf8) + GOOD[2])
    assert [record.verdict for record in records] == [
        Verdict.OK,
        Verdict.UNDECODABLE,
        Verdict.BEHIND_FAULT,
    ]
    assert records[1].data == not_utf8


@pytest.mark.parametrize("size", [2**20 - 17, 2**20 - 16, 2**20 - 15, 2**20, 3 * 2**20 + 1])
def test_records_as_large_as_a_chunk_and_larger(path, size):
    """Records about as large as a chunk of reading, and larger, are read, damaged or not."""
    content = os.urandom(size)
    large = frame(Event(graph_def=content).SerializeToString())
    records = _read(path, GOOD[0] + large + GOOD[1])
    assert [record.verdict for record in records] == [Verdict.OK] * 3
    assert Event.FromString(records[1].data).graph_def == content
    bad = with_bad_payload(large, size - 1)
    assert [verdict for verdict, _ in _verdicts(path, GOOD[0], bad, GOOD[1])] == [
        Verdict.OK,
        Verdict.BAD_DATA_CRC,
        Verdict.BEHIND_FAULT,
    ]
    assert _verdicts(path, GOOD[0], large[:-1])[1] == (Verdict.TORN, len(large) - 1)


edits = st.lists(
    st.tuples(
        st.sampled_from(["cut", "insert", "overwrite", "flip", "repeat", "end"]),
        st.integers(0, 2**16),
        st.one_of(
            st.binary(max_size=40),
            st.integers(0, 60).map(bytes),
            st.integers(0, 2**40).map(lambda length: _header(length)),
            payloads.map(frame),
        ),
    ),
    min_size=1,
    max_size=5,
)


def _header(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", masked_crc(packed))


def _edit(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for kind, at, piece in changes:
        at %= len(data) + 1
        if kind == "cut":
            data = data[:at] + data[at + len(piece) :]
        elif kind == "insert":
            data = data[:at] + piece + data[at:]
        elif kind == "overwrite":
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == "flip":
            data = data[:at] + bytes([octet ^ 0x10 for octet in data[at : at + 1]]) + data[at + 1 :]
        elif kind == "repeat":
            data = data[:at] + data[at // 2 :]
        else:
            data = data[:at]
    return data


@settings(slow_machine, max_examples=400)
@given(st.lists(payloads, max_size=8), edits, st.sampled_from([32, 100, 1 << 20]))
def test_any_damage(path, written, changes, chunk):
    """On a file damaged in any way: no exception, no gap, and exactly the intact records are found.

    The reference tries every byte in turn.
    """
    data = _edit(b"".join(map(frame, written)), changes)
    with mock.patch.object(_records, "_CHUNK", chunk):
        records = _read(path, data)
    _assert_tiles(records, len(data))
    whole = (Verdict.OK, Verdict.BEHIND_FAULT, Verdict.UNDECODABLE)
    assert [
        (record.offset, record.data) for record in records if record.verdict in whole
    ] == _intact_records(data)
    faulty = False
    for record in records:
        assert (record.verdict is Verdict.OK) <= (not faulty)
        assert (record.verdict is Verdict.BEHIND_FAULT) <= faulty
        faulty = faulty or record.verdict is not Verdict.OK
        extent = data[record.offset : record.offset + record.length]
        if record.verdict in whole:
            assert extent == frame(record.data)
        else:
            assert record.data == b""
        assert (record.verdict is not Verdict.ZEROS) or not any(extent)


@slow_machine
@given(st.binary(max_size=2000))
def test_garbage(path, data):
    """Any bytes at all are covered without an exception."""
    _assert_tiles(_read(path, data), len(data))


@settings(slow_machine, max_examples=60)
@given(st.lists(payloads.filter(bool), max_size=6), edits)
def test_tensorboard_agrees_up_to_the_first_fault(path, written, changes):
    """The records before the first fault are those that TensorBoard's CRC-checking reader gives."""
    data = _edit(b"".join(map(frame, written)), changes)
    records = _read(path, data)
    before = []
    for record in records:
        if record.verdict not in (Verdict.OK, Verdict.UNDECODABLE) or not record.data:
            break
        before.append(record.data)
    raw = []
    # Its reader asks for as much memory as a length says, be it right or not.
    with contextlib.suppress(MemoryError):
        for payload in RawEventFileLoader(str(path)).Load():
            if not payload:  # Its reader is not made for records without a payload.
                break
            raw.append(payload)
    assert raw[: len(before)] == before
    assert len(raw) == len(before) or (len(before) < len(records) and not records[len(before)].data)


@slow_machine
@given(st.data())
def test_growing_file(path, data):
    """Reading again from where the last reading stopped gives every record exactly once."""
    content = b"".join(GOOD)
    path.write_bytes(b"")
    found: list[bytes] = []
    written = offset = 0
    with open(path, "r+b", buffering=0) as file:
        while written < len(content):
            written += file.write(
                content[written : data.draw(st.integers(written + 1, len(content)))]
            )
            for record in read_records(path, offset=offset):
                if record.verdict is Verdict.TORN:
                    break
                assert record.verdict is Verdict.OK
                found.append(frame(record.data))
                offset = record.offset + record.length
    assert found == GOOD


def test_appended_while_reading(path):
    """What is appended while a file is being read belongs to the next reading."""
    path.write_bytes(GOOD[0] + GOOD[1])
    records = read_records(path)
    first = next(records)
    with open(path, "ab") as file:
        file.write(GOOD[2])
    assert [first, *records] == _read(path, GOOD[0] + GOOD[1])


def test_truncated_while_reading(path):
    """A file that is truncated while it is being read gives no record that is no longer there."""
    large = frame(Event(graph_def=bytes(3_000_000)).SerializeToString())
    path.write_bytes(GOOD[0] + large * 3)
    records = read_records(path)
    assert next(records).verdict is Verdict.OK
    os.truncate(path, len(GOOD[0]) + len(large) + 5)
    assert [record.verdict for record in records] == [Verdict.OK, Verdict.TORN]


def test_offset_at_and_behind_the_end(path):
    """Beginning at the end of the file, or behind it, gives nothing."""
    assert _read(path, GOOD[0], offset=len(GOOD[0])) == []
    assert _read(path, GOOD[0], offset=10**12) == []


def test_offset_within_a_record(path):
    """Beginning within a record gives a fault up to the next record."""
    records = _read(path, GOOD[0] + GOOD[1], offset=5)
    assert [(record.offset, record.verdict) for record in records] == [
        (5, Verdict.BAD_LENGTH_CRC),
        (len(GOOD[0]), Verdict.BEHIND_FAULT),
    ]


def test_negative_offset(path):
    """A negative offset is refused by name."""
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="offset must not be negative, got -1"):
        next(read_records(path, offset=-1))


def test_empty_file(path):
    """A file of no bytes has no records."""
    assert _read(path, b"") == []


def test_missing_file(tmp_path):
    """A missing file is an error that names it."""
    with pytest.raises(FileNotFoundError, match="no-such-file"):
        next(read_records(tmp_path / "no-such-file"))


def test_not_a_regular_file(tmp_path):
    """A FIFO is refused by name, instead of waited for; so is a directory."""
    fifo = tmp_path / "tfevents.fifo"
    os.mkfifo(fifo)
    with pytest.raises(OSError, match=r"not a regular file.*tfevents\.fifo"):
        next(read_records(fifo))
    with pytest.raises(OSError, match="not a regular file"):
        next(read_records(tmp_path))


@slow_machine
@given(
    st.lists(
        st.one_of(st.integers(0, 2**31 - 1), st.just(233_286_277)),  # the latter's CRC is zero
        max_size=8,
    ),
    st.binary(max_size=30),
)
def test_headers_are_found_by_their_crc(lengths, between):
    """The search for headers finds each whose record fits, and nothing else."""
    block = between.join(map(_header, lengths)) + between
    expected = []
    for at in range(len(block) - HEADER_SIZE + 1):
        length, crc = struct.unpack_from("<QI", block, at)
        right = crc == masked_crc(block[at : at + 8])
        if right and at + length + HEADER_SIZE + FOOTER_SIZE <= 2**30:
            expected.append(at)
    assert _records._headers_in(block, 2**30) == expected


def test_crc_is_crc32c():
    """The CRC is the one that the format prescribes, known by its published check value."""
    assert google_crc32c.value(b"123456789") == 0xE3069283
