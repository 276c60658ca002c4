"""Histograms, images, videos and texts as torch summarizes them, by a shorter way.

Each function returns the summary, or None where only torch's own code knows what to do, or say. A
summary without a value stands for what has nothing to show, which is told here and not written.
What TensorBoard shows is the same: the same counts, limits and sums, the same pixels.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary

from safewriter._errors import ArgumentValueError, InvisibleValueWarning, warn
from safewriter._torch import hooks
from safewriter._torch.fast_scalar import varint
from safewriter._torch.png import COLOUR_TYPES, encode_png

_Bytes = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.floating[Any]]

#: Kinds of numpy types that are real numbers.
_NUMBERS = "fiub"

#: Values that are sorted at once: they stay in the cache, and the count of them is exact in it.
_BLOCK = 65536

#: Values that are squared and added up at once, as torch adds them up.
_PIECE = 8192


class _Bins(NamedTuple):
    """Where bins begin: value v is in bin i if ``edges[i] <= v < edges[i + 1]``."""

    given: Sequence[float]
    limits: npt.NDArray[np.float64]
    edges: _Floats
    edges32: _Floats


_bins: _Bins | None = None


def _bins_of(given: Sequence[float]) -> _Bins | None:
    """Prepare bin limits, once for as long as they stay the same."""
    global _bins
    bins = _bins
    if bins is None or bins.given != given:
        limits = np.asarray(given)
        if limits.dtype != np.float64 or limits.ndim != 1 or limits.size < 2:
            return None
        if not np.isfinite(limits).all() or (limits[:-1] > limits[1:]).any():
            return None
        edges = limits.copy()
        edges[-1] = np.nextafter(edges[-1], np.inf)  # The last bin includes its upper limit.
        # A float32 is below a limit exactly if it is below the first float32 from that limit on.
        with np.errstate(over="ignore"):
            edges32 = edges.astype(np.float32)
        below = edges32 < edges
        edges32[below] = np.nextafter(edges32[below], np.float32(np.inf))
        bins = _bins = _Bins(list(given), limits, edges, edges32)
    return bins


def histogram(tag: str, values: Any, limits: Sequence[float] | None) -> Summary | None:
    """Summarize numbers of any shape by the bins with these limits, as torch's function does."""
    if limits is None or hooks.make_np is None:
        return None
    bins = _bins_of(limits)
    array = hooks.make_np(values)
    if bins is None or array.dtype.kind not in _NUMBERS:
        return None
    if not array.size:
        return _nothing(f"histogram {tag!r} is of no values")
    # In this order and type torch adds them up.
    flat = np.ascontiguousarray(array, dtype=np.float64).reshape(-1)
    edges: _Floats = bins.edges
    sortable: _Floats = flat
    if np.can_cast(array.dtype, np.float32):
        # Half as wide, sorted in half the time.
        edges, sortable = bins.edges32, np.ascontiguousarray(array, dtype=np.float32).reshape(-1)
    below = np.zeros(edges.size, np.intp)
    lowest, highest = np.inf, -np.inf
    for start in range(0, flat.size, _BLOCK):
        block = np.sort(sortable[start : start + _BLOCK])
        lowest, highest = np.minimum(lowest, block[0]), np.maximum(highest, block[-1])
        first, last = edges.searchsorted(block[[0, -1]], "right")
        below[first:last] += block.searchsorted(edges[first:last])
        below[last:] += block.size
    if highest != highest or not lowest or not highest:
        # NaN comes last in a block, and 0.0 and -0.0 in any order.
        lowest, highest = flat.min(), flat.max()
    counts = np.diff(below)
    filled = counts.nonzero()[0]
    if not filled.size:
        return _nothing(f"histogram {tag!r} has only values that are NaN, infinite or beyond 1e20")
    # TensorBoard wants an empty bin before the first filled one.
    first, last = filled[0], filled[-1]
    shown = np.zeros(last - first + 2, "<f8")
    shown[1:] = counts[first : last + 1]
    # Piece by piece: from 10,000 values on OpenBLAS waits for threads of its own, and on busy cores
    # that takes longer than all the rest. Beyond a piece the last bit may differ from torch's.
    pieces = (flat[start : start + _PIECE] for start in range(0, flat.size, _PIECE))
    squares = sum(piece.dot(piece) for piece in pieces)
    message = HistogramProto(
        min=lowest, max=highest, num=flat.size, sum=flat.sum(), sum_squares=squares
    )
    # Lists of numbers would cost twenty times as much as their bytes do.
    message.MergeFromString(
        _field(6, bins.limits[first : last + 2].astype("<f8").tobytes())
        + _field(7, shown.tobytes())
    )
    return Summary(value=[Summary.Value(tag=tag, histo=message)])


@functools.lru_cache(maxsize=256)
def _empty_text(tag: str) -> Summary:
    summary: Summary = hooks.text_summary(tag, "")
    return summary


def text(tag: str, string: str) -> Summary | None:
    """Summarize a text for the text plugin, as torch's function does."""
    if type(tag) is not str or type(string) is not str or hooks.text_summary is None:
        return None
    # Copied and filled in instead of built: half a dozen messages less.
    summary = Summary()
    summary.CopyFrom(_empty_text(tag))
    summary.value[0].tensor.string_val[0] = string.encode()
    return summary


def image(tag: str, tensor: Any, dataformats: str) -> Summary | None:
    """Summarize one image, or several as a grid, as torch's function does: with 8 bits a channel.

    Floats are taken to be in 0..1, bytes in 0..255.
    """
    if hooks.make_np is None or hooks.convert_to_hwc is None:
        return None
    array = hooks.make_np(tensor)
    if array.dtype.kind not in _NUMBERS:
        return None
    if not array.size:
        return _nothing(f"image {tag!r} of shape {array.shape} has no pixel")
    # Bytes first: what follows then moves a quarter of the data. They are laid out in torch's way.
    pixels: _Bytes = hooks.convert_to_hwc(_to_bytes(tag, array), dataformats)
    if pixels.shape[-1] not in COLOUR_TYPES:
        return None
    return _image_summary(tag, pixels, encode_png(pixels))


def video(tag: str, tensor: Any, fps: float) -> Summary | None:
    """Summarize videos side by side, as torch's function does with moviepy: as animated GIF."""
    if hooks.make_np is None or hooks.prepare_video is None:
        return None
    array = hooks.make_np(tensor)
    if array.ndim != 5 or array.shape[2] not in (1, 3, 4):
        raise ArgumentValueError(
            f"video {tag!r} has the shape {array.shape}: pass (videos, frames, channels, height, "
            "width) with 1, 3 or 4 channels",
            argument="vid_tensor",
        )
    if not 0 < fps < float("inf"):
        raise ArgumentValueError(
            f"video {tag!r} has fps={fps}: pass how many frames to show in a second", argument="fps"
        )
    if not array.size:
        return _nothing(f"video {tag!r} of shape {array.shape} has no pixel")
    from safewriter._torch.gif import encode_gif  # Pillow is needed for this alone.

    # In another type than bytes, which torch's function would make floats.
    grid = hooks.prepare_video(_to_bytes(tag, array).astype(np.int16)).astype(np.uint8)
    colours = grid[..., [0, 0, 0] if grid.shape[-1] == 1 else [0, 1, 2]]
    return _image_summary(tag, grid[0], encode_gif(colours, fps))


def _image_summary(tag: str, pixels: _Bytes, encoded: bytes) -> Summary:
    height, width, channels = pixels.shape
    image = Summary.Image(
        height=height, width=width, colorspace=channels, encoded_image_string=encoded
    )
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def _nothing(cause: str) -> Summary:
    warn(
        InvisibleValueWarning,
        f"{cause}. TensorBoard could show nothing of it, so nothing is written. Log it when there "
        "is something to show; look for the cause where there should be.",
    )
    return Summary()


def _to_bytes(tag: str, array: npt.NDArray[Any]) -> _Bytes:
    if array.dtype == np.uint8:
        return array
    scaled = np.multiply(array.astype(np.float32, copy=False), 255)
    # Pictures in -1..1, or some deviations around a mean, are what networks see and make: they are
    # cut as well, but people log them knowingly. Of what is in 0..255 only white is left.
    if scaled.min() < -8 * 255 or scaled.max() > 8 * 255:
        warn(
            InvisibleValueWarning,
            f"picture {tag!r} has values far outside 0..1, the range of all types but uint8. "
            "TensorBoard shows what is below as 0 and what is above as 1, black and white. Pass "
            "uint8 for 0..255, or bring the values to 0..1.",
        )
    return np.clip(scaled, 0, 255, out=scaled).astype(np.uint8)


def _field(number: int, data: bytes) -> bytes:
    """Return a field of a protocol buffer that has a length: bytes, numbers or a message."""
    return varint(number << 3 | 2) + varint(len(data)) + data
