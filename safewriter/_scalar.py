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

from ._eventfile import EventFile
from ._ledger import INT64_MAX, TagState

# As it is at the moment of each use: trackers replace names in it.
_torch_writer: Any = _module

#: The largest float32: what is beyond it becomes infinite in an event.
LARGEST = 3.4028234663852886e38

_WALL_TIME = 0x09  # field 1, eight bytes
_NUMPY_KINDS = (np.floating, np.integer, np.bool_)
_TENSOR_TYPES = (torch.Tensor, torch.nn.Parameter)
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


def _is_torchs_own(function: object) -> bool:
    # Not by name: wrappers copy it. Only torch's own functions run in the namespace of its module.
    return getattr(function, "__globals__", None) is vars(_torch_writer)


_UNKNOWN = object()
_ADD_SCALAR, _ADD_SCALARS, _ADD_SUMMARY, _ADD_EVENT = (
    function if _is_torchs_own(function) else _UNKNOWN
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


def nobody_listens() -> bool:
    """Tell whether no tracker has hooked what the short cut would bypass."""
    return (
        SummaryWriter.add_scalar is _ADD_SCALAR
        and FileWriter.add_event is _ADD_EVENT
        and FileWriter.add_summary is _ADD_SUMMARY
        and _torch_writer.EventFileWriter is _EVENT_FILE_WRITER
        and SummaryWriter.add_scalars is _ADD_SCALARS
    )


def plain(value: Any) -> float | None:
    """Return a scalar value as torch would write it, or None if only torch's own code knows how."""
    if isinstance(value, (int, _NUMPY_KINDS)):
        try:
            return float(value)
        except OverflowError:
            return None
    if type(value) in _TENSOR_TYPES:
        if value.numel() != 1 or value.device.type == "meta" or value.layout != torch.strided:
            return None
        if value.dtype in _TENSOR_DTYPES:
            return float(value.item())
        if value.dtype == torch.bfloat16:  # torch takes it through float16
            return float(value.to(torch.float16).item())
        return None
    if type(value) is np.ndarray and value.size == 1 and value.dtype.kind in "fiub":
        return float(value.item())
    return None


def _varint(number: int) -> bytes:
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


@functools.lru_cache(maxsize=4096)
def _packer(step_size: int, summary_size: int) -> Callable[..., bytes]:
    return struct.Struct(f"<Bd{step_size}s{summary_size}sf").pack


# The step that was encoded last: all tags of a training step share it.
_step: tuple[int, bytes] = (0, b"")


class ScalarShortcut:
    """Writes the points of one tag, each higher in step than the last."""

    __slots__ = ("_append", "_summary", "state")

    def __init__(self, tag: str, state: TagState, file: EventFile) -> None:
        name = tag.encode()
        value = b"\x0a" + _varint(len(name)) + name + b"\x15"
        size = len(value) + 4
        summary = b"\x0a" + _varint(size) + value
        self._summary = b"\x2a" + _varint(len(summary) + 4) + summary
        self._append = file.append
        self.state = state

    def write(self, value: float, step: int, now: float) -> None:
        """Append the event; `value` is finite in float32, `step` is at least 1 and in int64."""
        global _step
        last, encoded = _step
        if last != step:
            encoded = b"\x10" + _varint(step)
            _step = (step, encoded)
        summary = self._summary
        pack = _packer(len(encoded), len(summary))
        self.state.last = step
        self._append(pack(_WALL_TIME, now, encoded, summary, value), now)


def write_scalar(shortcut: ScalarShortcut, value: Any, step: Any, now: float | None = None) -> bool:
    """Write a point by the short cut; False if it has to go through the door."""
    if type(value) is not float:
        value = plain(value)
        if value is None:
            return False
    if (
        type(step) is int
        and -LARGEST <= value <= LARGEST
        and shortcut.state.last < step <= INT64_MAX
        and step > 0
    ):
        shortcut.write(value, step, time.time() if now is None else now)
        return True
    return False
