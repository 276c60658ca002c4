"""The fast path of a scalar: the bytes of its event, without building a protocol buffer.

A tag gets one once its first point went the slow path, where everything is checked. The bytes equal
those that protobuf serializes.
"""

from __future__ import annotations

import functools
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

from safewriter._ledger.ledger import INT64_MAX, TagState
from safewriter._torch.hooks import (
    ADD_EVENT,
    ADD_SCALAR,
    ADD_SUMMARY,
    EVENT_FILE_WRITER,
    torch_writer,
)

# The largest float32: what is beyond it becomes infinite in an event.
_LARGEST = 3.4028234663852886e38
_SMALLEST = -_LARGEST

_WALL_TIME = 0x09  # field 1, eight bytes
_STEP = 0x10  # field 2, a varint
_TENSOR_DTYPES = frozenset(
    {
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
    }
)


def _of_int(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _of_array(value: Any) -> float | None:
    return float(value.item()) if value.size == 1 and value.dtype.kind in "fiub" else None


def _of_tensor(value: torch.Tensor) -> float | None:
    if value.layout is not torch.strided:
        return None
    try:
        if value.dtype in _TENSOR_DTYPES:
            return float(value.item())
        if value.dtype is torch.bfloat16:  # torch takes it through float16
            return float(value.to(torch.float16).item())
    except RuntimeError:  # several elements, or none that exists
        pass
    return None


# What a scalar value is as torch would write it; None where only torch's own code knows.
_CONVERSIONS: dict[type, Callable[[Any], float | None]] = {
    **{np.dtype(code).type: float for code in "?bhilqBHILQefdg"},
    int: _of_int,
    bool: float,
    np.ndarray: _of_array,
    torch.Tensor: _of_tensor,
    torch.nn.Parameter: _of_tensor,
}


def varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


@functools.lru_cache(maxsize=4096)
def _packers(summary_size: int) -> list[Callable[..., bytes]]:
    """Return what packs an event, by the size of all but the first byte of its step."""
    return [struct.Struct(f"<BdBB{size}s{summary_size}sf").pack for size in range(10)]


# How all but the low seven bits of a step were encoded last: they stay for 128 steps, and all tags
# of a training step share them. The number, the flag that more bytes follow, the bytes.
_high: tuple[int, int, bytes] = (0, 0, b"")


class FastScalar:
    """Writes the points of one tag by one writer, each higher in step than the last."""

    __slots__ = ("_append", "_logger", "_packers", "_state", "_summary")

    def __init__(
        self, tag: str, state: TagState, append: Callable[..., int | None], logger: object
    ) -> None:
        name = tag.encode()
        value = (b"\x0a" + varint(len(name)) + name if name else b"") + b"\x15"
        size = len(value) + 4
        summary = b"\x0a" + varint(size) + value
        self._summary = b"\x2a" + varint(len(summary) + 4) + summary
        self._packers = _packers(len(self._summary))
        self._append = append
        self._state = state
        self._logger = logger

    # One long function: at this size each call costs as much as the work in it.
    def write(self, value: Any, step: Any, now: float | None = None) -> bool:
        """Append a point; return False if it has to go the slow path.

        That is where a value or a step is not of the usual kind, where the ledger has something to
        say, and while a tracker has hooked what is bypassed here.
        """
        global _high
        if type(value) is not float:
            convert = _CONVERSIONS.get(type(value))
            if convert is None or (value := convert(value)) is None:
                return False
        state = self._state
        if (
            type(step) is int
            and step > 0
            and state.last < step <= INT64_MAX
            and _SMALLEST <= value <= _LARGEST
            and SummaryWriter.add_scalar is ADD_SCALAR
            and FileWriter.add_event is ADD_EVENT
            and FileWriter.add_summary is ADD_SUMMARY
            and torch_writer.EventFileWriter is EVENT_FILE_WRITER
        ):
            high, more, rest = _high
            if step >> 7 != high:
                high = step >> 7
                more, rest = (0x80, varint(high)) if high else (0, b"")
                _high = high, more, rest
            if now is None:
                now = time.time()
            payload = self._packers[len(rest)](
                _WALL_TIME, now, _STEP, step & 0x7F | more, rest, self._summary, value
            )
            # The last word on the step is said where it is written.
            return self._append(payload, now, state, step, value, self._logger, True) is not None
        return False
