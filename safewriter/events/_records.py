"""The records of an event file, and what lies between them when the file is damaged."""

from __future__ import annotations

import enum
import errno
import functools
import os
import re
import stat
import struct
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.compat.proto import event_pb2

from safewriter._errors import ArgumentValueError
from safewriter._tfrecord import FOOTER, FRAMING, HEADER, MASK, is_footer, payload_length

if TYPE_CHECKING:
    import numpy.typing as npt

StrPath = str | os.PathLike[str]

_CHUNK = 1 << 20
_SHORT = 4096
_UINT32 = struct.Struct("<I")
_NOT_ZERO = re.compile(rb"[^\0]")


class Verdict(str, enum.Enum):
    """What is true of a stretch of an event file."""

    OK = "ok"
    """A record whose CRCs are right, that holds an event, and nothing wrong before it."""
    BAD_LENGTH_CRC = "bad length CRC"
    """No record begins here: the length has a wrong CRC, or is 2 GiB or more."""
    BAD_DATA_CRC = "bad data CRC"
    """A record of a believable length, but its payload is not what was written."""
    TORN = "torn"
    """A record that was not written to its end: the file or the next record cuts it off."""
    ZEROS = "zeros"
    """Nothing but zero bytes, as a power cut leaves them behind."""
    UNDECODABLE = "undecodable"
    """The CRCs are right, but the payload is no event: for one, a tag in it is not UTF-8."""
    BEHIND_FAULT = "behind fault"
    """An intact record behind any of these faults: TensorBoard may never come to it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record, or one fault, of an event file.

    Attributes:
        offset: Where it begins, in bytes from the start of the file.
        length: Its bytes on disk, framing included. What follows begins behind them.
        verdict: What it is.
        data: The payload if its CRC is right, otherwise ``b""``.
    """

    offset: int
    length: int
    verdict: Verdict
    data: bytes


def read_records(path: StrPath, *, offset: int = 0) -> Iterator[Record]:
    """Yield every record and every fault of one event file, in the order of the file.

    Together they cover the file from ``offset`` to its end without a gap. After a fault, reading
    goes on at the next record whose two CRCs are right, wherever it begins.

    The end of the file is where it is when the first record is asked for. In a file that is being
    written the last piece is often ``TORN`` then; read again from its ``offset`` to go on.

    Args:
        path: An event file.
        offset: Where to begin, in bytes: 0, or where an earlier record or fault began or ended.

    Raises:
        OSError: The file is missing, cannot be read, or is not a regular file.
        ArgumentValueError: ``offset`` is negative.
    """
    if offset < 0:
        raise ArgumentValueError(f"offset must not be negative, got {offset}", argument="offset")
    intact = Verdict.OK
    with EventFile(path) as file:
        for at, data in file.pieces(offset):
            if isinstance(data, Record):
                verdict, length, data = data.verdict, data.length, b""
            else:
                verdict, length = intact, len(data) + FRAMING
                if parse(data) is None:
                    verdict = Verdict.UNDECODABLE
            if verdict is not intact:
                intact = Verdict.BEHIND_FAULT
            yield Record(at, length, verdict, data)


def parse(data: bytes) -> Any | None:
    """Return the ``Event`` in a payload, or None if it holds none."""
    try:
        return event_pb2.Event.FromString(data)
    except (DecodeError, UnicodeDecodeError):  # the latter from protobuf in pure Python
        return None


class EventFile:
    """One event file, read by chunks, up to the size it had when it was opened."""

    def __init__(self, path: StrPath) -> None:
        # Opening a FIFO would wait for a writer that may never come.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise OSError(errno.EINVAL, "not a regular file, so not an event file", os.fspath(path))
        self._file = open(path, "rb")  # noqa: SIM115 -- __exit__ closes it
        self._size = os.fstat(self._file.fileno()).st_size
        self._chunk = b""
        self._chunk_start = 0
        self._scanned = range(0)  # the part of the file whose headers are in ...
        self._headers: list[int] = []
        # A payload with a wrong CRC costs its length for nothing. A file crammed with valid headers
        # of huge lengths would make that quadratic, so what is spent on them is capped: once it is
        # used up, only short records are looked at.
        self._patience = 4 * self._size + _CHUNK

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def pieces(
        self, offset: int = 0, *, behind_faults: bool = True
    ) -> Iterator[tuple[int, bytes | Record]]:
        """Yield every intact record (offset, payload) and every fault (offset, record).

        Without `behind_faults`, end before the first fault.
        """
        checksum = google_crc32c.value
        number = _UINT32.unpack_from
        lengths: dict[bytes, int] = {}  # by header: a run has few different ones
        while offset < self._size:
            self._bytes(offset, HEADER)
            chunk, start = self._chunk, self._chunk_start
            position, end = offset - start, len(chunk) - FOOTER
            while True:
                header = chunk[position : position + HEADER]
                length = lengths.get(header)
                if length is None:
                    if (length := payload_length(header)) is None:
                        break
                    if len(lengths) >= 4096:
                        lengths.clear()
                    lengths[header] = length
                stop = position + HEADER + length
                if stop > end:
                    break
                data = chunk[position + HEADER : stop]
                crc = checksum(data)
                # The mask is written out: a call for each record takes a tenth of all the time.
                if ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF != number(chunk, stop)[0]:
                    break
                yield start + position, data
                position = stop + FOOTER
            offset = start + position
            # The end of the chunk is within this record, or it is faulty, or this is the end.
            if (payload := self._payload(offset)) is not None:
                yield offset, payload
                offset += len(payload) + FRAMING
            elif not behind_faults:
                return
            else:
                following = self._next_intact(offset + 1)
                while offset < following:
                    fault = self._judge(offset, following)
                    yield offset, fault
                    offset += fault.length

    def _read(self, offset: int, count: int) -> bytes:
        count = min(count, self._size - offset)
        if count <= 0:
            return b""
        self._file.seek(offset)
        data = self._file.read(count)
        if len(data) < count:  # truncated since it was opened
            self._size = offset + len(data)
        return data

    def _bytes(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes (a chunk at most), fewer at the end of the file."""
        start = offset - self._chunk_start
        if start < 0 or start + count > len(self._chunk):
            self._chunk, self._chunk_start, start = self._read(offset, _CHUNK), offset, 0
        return self._chunk[start : start + count]

    def _payload(self, offset: int) -> bytes | None:
        """Return the payload of the intact record at ``offset``, or None if there is none."""
        length = payload_length(self._bytes(offset, HEADER))
        if length is None or length + FRAMING > self._size - offset:
            return None
        if length > max(_SHORT, self._patience):
            return None
        if length + FRAMING <= _CHUNK:
            record = self._bytes(offset, length + FRAMING)
            data = record[HEADER:-FOOTER]
            right = is_footer(record[-FOOTER:], google_crc32c.value(data))
        else:  # held in memory as a whole only once it has proved right
            start, stop, crc = offset + HEADER, offset + HEADER + length, 0
            for part in range(start, stop, _CHUNK):
                crc = google_crc32c.extend(crc, self._read(part, min(_CHUNK, stop - part)))
            right = is_footer(self._read(stop, FOOTER), crc)
            data = self._read(start, length) if right else b""
        if not right or len(data) != length:
            self._patience -= length
            return None
        return data

    def _next_intact(self, offset: int) -> int:
        """Return where the first intact record from ``offset`` on begins, or the file's size."""
        while offset < self._size:
            if offset not in self._scanned:
                block = self._read(offset, _CHUNK + HEADER - 1)
                self._headers = [offset + at for at in _headers_in(block, self._size - offset)]
                self._scanned = range(offset, offset + max(1, len(block) - HEADER + 1))
            for at in range(bisect_left(self._headers, offset), len(self._headers)):
                if self._payload(self._headers[at]) is not None:
                    return self._headers[at]
            offset = self._scanned.stop
        return self._size

    def _judge(self, offset: int, following: int) -> Record:
        """Return the fault at ``offset``; the next intact record, or the end, is ``following``."""
        header = self._bytes(offset, HEADER)
        room = following - offset
        length = payload_length(header)
        if len(header) < HEADER and following >= self._size:
            verdict = Verdict.TORN
        elif not any(header[:room]):
            verdict, room = Verdict.ZEROS, min(self._zeros_end(offset), following) - offset
        elif length is not None and length + FRAMING <= room:
            verdict, room = Verdict.BAD_DATA_CRC, length + FRAMING
        elif length is not None or room < HEADER:
            verdict = Verdict.TORN
        else:
            verdict = Verdict.BAD_LENGTH_CRC
        return Record(offset, room, verdict, b"")

    def _zeros_end(self, offset: int) -> int:
        """Return where the zero bytes that begin at ``offset`` end."""
        while self._bytes(offset, 1):
            start, chunk = offset - self._chunk_start, self._chunk
            # The comparison alone is ten times as fast as the search.
            if start or chunk != bytes(len(chunk)):
                found = _NOT_ZERO.search(chunk, start)
                if found:
                    return self._chunk_start + found.start()
            offset = self._chunk_start + len(chunk)
        return offset


@functools.cache
def _crc_tables() -> npt.NDArray[np.uint32]:
    """Return what each value of each of the first 4 of 8 bytes adds, by xor, to the zeros' CRC."""
    zeros = google_crc32c.value(bytes(8))
    return np.array(
        [
            [google_crc32c.value((byte << 8 * place).to_bytes(8, "little")) for byte in range(256)]
            for place in range(4)
        ],
        np.uint32,
    ) ^ np.uint32(zeros)


def _headers_in(block: bytes, remaining: int) -> list[int]:
    """Return where in ``block`` headers begin whose record fits into ``remaining`` bytes."""
    count = len(block) - HEADER + 1
    if count <= 0:
        return []
    octets = np.frombuffer(block, np.uint8)
    place = [octets[number : number + count] for number in range(HEADER)]
    # A length below 2 GiB ends in four zero bytes, which rules out nearly every position before any
    # CRC is computed; that no header is all zeros rules out the inside of long runs of zeros.
    likely = functools.reduce(np.bitwise_or, place[4:8]) == 0
    likely &= functools.reduce(np.bitwise_or, place[:4] + place[8:]) != 0
    at = np.flatnonzero(likely)
    if not at.size:
        return []
    length = np.zeros(at.size, np.int64)
    stored = np.zeros(at.size, np.uint32)
    crc = np.full(at.size, google_crc32c.value(bytes(8)), np.uint32)
    for number, table in enumerate(_crc_tables()):
        octet = place[number][at]
        length |= octet.astype(np.int64) << (8 * number)
        crc ^= table[octet]
        stored |= place[8 + number][at].astype(np.uint32) << np.uint32(8 * number)
    # As `masked` does it, for all of them at once; 32 bits wrap around by themselves.
    masked = (crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(MASK)
    found: list[int] = at[(masked == stored) & (at + length + FRAMING <= remaining)].tolist()
    return found
