"""Files made to hurt: reading them takes neither much memory nor many times the file's size."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from safewriter.events import Verdict, _records, read_events, read_records, summarise
from tests.support import run_python
from tests.support.event_bytes import frame, masked_crc, scalar_record, version_record

MIB = 1 << 20


def _header(length: int) -> bytes:
    packed = struct.pack("<Q", length)
    return packed + struct.pack("<I", masked_crc(packed))


READ_IN_LITTLE_MEMORY = """
    import resource, sys
    from safewriter.events import read_events, read_records, read_scalars, summarise

    # What the interpreter and its libraries have mapped by now, and 64 MiB more.
    mapped = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    limit = mapped + 64 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(*[f"{record.verdict.name}:{record.length}" for record in read_records(sys.argv[1])])
    list(read_events(sys.argv[1], behind_faults=True))
    read_scalars(sys.argv[1], behind_faults=True)
    summarise(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("length", "size", "faults"),
    [
        (2**40, 200, "BAD_LENGTH_CRC:200"),
        (2**63, 200, "BAD_LENGTH_CRC:200"),
        (2**31 - 1, 200, "TORN:200"),
        (2**30, 200, "TORN:200"),
        # Nearly all of these files is a hole. The first record fits into its file.
        (2**28, 2**28 + 100, f"BAD_DATA_CRC:{2**28 + 16} ZEROS:84"),
        (2**40, 2**28, f"BAD_LENGTH_CRC:{2**28}"),
    ],
)
def test_a_claimed_length_takes_no_memory(tmp_path, length, size, faults):
    """A record that claims to be huge costs no memory, be the file as large as it says or not."""
    path = tmp_path / "events.out.tfevents.1"
    first, last = version_record(), scalar_record("a", 1.0, 1)
    with open(path, "wb") as file:
        file.write(first + _header(length))
        file.seek(len(first) + size)
        file.write(last)
    done = run_python(READ_IN_LITTLE_MEMORY, args=[path], check=True, deadline=120)
    assert done.stdout.split("\n")[0] == f"OK:{len(first)} {faults} BEHIND_FAULT:{len(last)}"


def test_many_faults_take_no_memory(tmp_path):
    """A summary counts every fault and keeps the first thousand."""
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes((b"\xff" + scalar_record("a", 1.0, 1)) * 3000)
    summary = summarise(path)
    assert (summary.fault_count, len(summary.faults)) == (3000, 1000)
    assert (summary.behind_faults, summary.events) == (3000, 0)


GOOD = scalar_record("a", 1.0, 1)
PATTERNS = {
    "random": os.urandom(4 * MIB),
    "zeros": bytes(4 * MIB),
    "mostly zeros": (bytes(12) + b"\1") * (4 * MIB // 13),
    "text": b"step 1: loss 0.5\n" * (4 * MIB // 17),
    "headers of records that fit": _header(MIB) * (2 * MIB // 12),
    "headers of larger and larger records": b"".join(
        _header(length) for length in range(4096, 2 * MIB, 64)
    ),
    "headers of small records": _header(400) * (MIB // 12),
    "headers of huge records": _header(2**30) * (4 * MIB // 12),
    "a fault before every record": (b"\xff" + GOOD) * (MIB // 2 // (len(GOOD) + 1)),
    "a bad CRC in every record": (GOOD[:-1] + b"x") * (MIB // 2 // len(GOOD)),
    "a bad CRC around every record": (_header(MIB // 8) + GOOD) * (MIB // (len(GOOD) + 12)),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_work_grows_with_the_size_only(tmp_path, monkeypatch, pattern):
    """However a file is made, each of its bytes is read and checked a bounded number of times."""
    path = tmp_path / "events.out.tfevents.1"
    work = 0

    class Counted(_records.EventFile):
        def _read(self, offset: int, count: int) -> bytes:
            nonlocal work
            data = super()._read(offset, count)
            work += len(data)
            return data

        def _payload(self, offset: int) -> bytes | None:
            nonlocal work
            before = self._patience
            payload = super()._payload(offset)
            work += before - self._patience
            return payload

    monkeypatch.setattr(_records, "EventFile", Counted)
    per_byte = []
    for repeat in (1, 4):
        path.write_bytes(PATTERNS[pattern] * repeat)
        work = 0
        for _ in read_records(path):
            pass
        per_byte.append(work / path.stat().st_size)
    assert per_byte[1] < min(50, 1.5 * per_byte[0] + 1)


def test_deeply_nested_payload(tmp_path):
    """A payload that nests messages beyond protobuf's limit is undecodable, not a crash."""
    # Summary.value.tensor.variant_val.tensors: messages of messages of the same kind.
    nested = b""
    for _ in range(30_000):
        nested = b"\x0a" + _varint(len(nested)) + nested
        nested = b"\x7a" + _varint(len(nested)) + nested
        if len(nested) > 100_000:
            break
    value = b"\x42" + _varint(len(nested)) + nested
    summary = b"\x0a" + _varint(len(value)) + value
    event = b"\x2a" + _varint(len(summary)) + summary
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(frame(event))
    for record in read_records(path):
        assert record.verdict in (Verdict.OK, Verdict.UNDECODABLE)
    list(read_events(path))
    summarise(path)


def _varint(number: int) -> bytes:
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    return bytes([*octets, number])


def test_a_device_is_not_read():
    """A device, which would never end, is refused by name."""
    with pytest.raises(OSError, match=r"not a regular file.*/dev/zero"):
        next(read_records(Path("/dev/zero")))
