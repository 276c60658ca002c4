"""Videos as animated GIFs by Pillow: the pixels that moviepy, which goes by Pillow too, gives."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from PIL import Image

_Bytes = npt.NDArray[np.uint8]

# GIF's unit of time is 1/100 s. Browsers play what is shorter than two of them as a tenth of a
# second, and a delay has 16 bits.
_SHORTEST, _LONGEST = 2, 65535


def encode_gif(pixels: _Bytes, fps: float) -> bytes:
    """Encode bytes of shape (time, height, width, 3) as GIF89a, repeated for ever.

    A frame of up to 256 colours is kept exactly, any other gets the 256 that Pillow's median cut
    finds, as by moviepy. Pillow joins equal neighbours to one frame of their common duration.
    """
    first, *others = _with_palettes(pixels)
    # Counted from the start, so that what is cut off does not add up.
    delays = np.diff(np.floor(np.arange(len(pixels) + 1) * 100 / fps))
    durations = (delays.clip(_SHORTEST, _LONGEST) * 10).tolist()
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0)
    return file.getvalue()


def _with_palettes(pixels: _Bytes) -> list[Image.Image]:
    colours = Image.fromarray(pixels.reshape(-1, *pixels.shape[2:])).getcolors(256)
    if colours is not None:
        # So few in all frames need no search: each gets its number from a table.
        palette = np.array([colour for _, colour in colours], np.uint8)
        numbers = np.zeros(1 << 24, np.uint8)
        numbers[_packed(palette)] = np.arange(len(palette))
        frames = [Image.fromarray(frame) for frame in numbers[_packed(pixels)]]
        for frame in frames:
            frame.putpalette(palette.tobytes())
        return frames
    frames = [Image.fromarray(frame) for frame in pixels]
    try:
        # Nine tenths of the time, and Pillow lets go of the GIL for it.
        with ThreadPoolExecutor() as pool:
            return list(pool.map(Image.Image.quantize, frames))
    except RuntimeError:  # At exit, and at the limit of threads, none can be started.
        return [frame.quantize() for frame in frames]


def _packed(pixels: _Bytes) -> npt.NDArray[np.int32]:
    numbers = pixels.astype(np.int32)
    return numbers[..., 0] << 16 | numbers[..., 1] << 8 | numbers[..., 2]
