"""The short cut of a scalar: the bytes of its event, without building a protocol buffer.

A tag gets a short cut once its first point went through the door, where everything is checked. The
bytes equal those that protobuf serializes.
"""

from __future__ import annotations

import functools
import struct
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.utils.tensorboard.writer as _module
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

from safewriter._ledger.ledger import INT64_MAX, TagState

# As it is at the moment of each use: trackers replace names in it.
_torch_writer: Any = _module

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


def is_torchs_own(function: object) -> bool:
    """Tell whether a function that was found in torch's writer module is the one it came with."""
    # Not by name: wrappers copy it. Only torch's own functions run in the namespace of its module.
    return getattr(function, "__globals__", None) is vars(_torch_writer)


_UNKNOWN = object()
_ADD_SCALAR, _ADD_SCALARS, _ADD_SUMMARY, _ADD_EVENT = (
    function if is_torchs_own(function) else _UNKNOWN
    for function in (
        SummaryWriter.add_scalar,
        SummaryWriter.add_scalars,
        FileWriter.add_summary,
        FileWriter.add_event,
    )
)
_EVENT_FILE_WRITER = next(
    base
    for base in _torch_writer.EventFileWriter.__mro__
    if base.__module__ == "tensorboard.summary.writer.event_file_writer"
)


def series_are_hooked() -> bool:
    """Tell whether a tracker has hooked ``add_scalars``, which the short cut would bypass."""
    return SummaryWriter.add_scalars is not _ADD_SCALARS


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


class ScalarShortcut:
    """Writes the points of one tag, each higher in step than the last."""

    __slots__ = ("_append", "_packers", "_state", "_summary")

    def __init__(self, tag: str, state: TagState, append: Callable[[bytes, float], None]) -> None:
        name = tag.encode()
        value = (b"\x0a" + varint(len(name)) + name if name else b"") + b"\x15"
        size = len(value) + 4
        summary = b"\x0a" + varint(size) + value
        self._summary = b"\x2a" + varint(len(summary) + 4) + summary
        self._packers = _packers(len(self._summary))
        self._append = append
        self._state = state

    # One long function: at this size each call costs as much as the work in it.
    def write(self, value: Any, step: Any, now: float | None = None) -> bool:
        """Append a point; return False if it has to go through the door.

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
            and SummaryWriter.add_scalar is _ADD_SCALAR
            and FileWriter.add_event is _ADD_EVENT
            and FileWriter.add_summary is _ADD_SUMMARY
            and _torch_writer.EventFileWriter is _EVENT_FILE_WRITER
        ):
            high, more, rest = _high
            if step >> 7 != high:
                high = step >> 7
                more, rest = (0x80, varint(high)) if high else (0, b"")
                _high = high, more, rest
            if now is None:
                now = time.time()
            state.last = step
            state.value = value
            self._append(
                self._packers[len(rest)](
                    _WALL_TIME, now, _STEP, step & 0x7F | more, rest, self._summary, value
                ),
                now,
            )
            return True
        return False
