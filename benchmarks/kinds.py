"""What is logged: one kind of call each, at the scale it has in a training loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Call = Callable[[int], object]

#: Steps after which the mixed loop logs the same again.
PERIOD = 100
SCALARS, HISTOGRAMS, IMAGES = 20, 20, 8

_SENTENCE = "The loss fell for the third epoch in a row; the learning rate stays as it is. "


@dataclass(frozen=True)
class Kind:
    """One kind of call. `bind` returns what logs the next step to a writer."""

    name: str
    method: str
    bind: Callable[[Any], Call]
    calls: int
    quick_calls: int
    target: float | None = None
    period: int = 1
    events_of_call: Callable[[int], int] = lambda _: 1


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def smooth() -> torch.Tensor:
    """Return colour gradients of shape 3 x 256 x 256 in 0..1."""
    ramp = torch.linspace(0, 1, 256)
    rows, columns = torch.meshgrid(ramp, ramp, indexing="ij")
    return torch.stack([rows, columns, (rows + columns) / 2])


def noise(*shape: int) -> torch.Tensor:
    """Return uniform noise in 0..1, the same each time."""
    return torch.rand(*shape, generator=_generator())


def _normal(size: int) -> torch.Tensor:
    return torch.randn(size, generator=_generator())


def _scalar(value: Any) -> Callable[[Any], Call]:
    def bind(writer: Any) -> Call:
        return lambda step: writer.add_scalar("train/loss", value, step)

    return bind


def _series(writer: Any) -> Call:
    values = {"train": 0.4, "validation": 0.5, "test": 0.6, "baseline": 0.7}
    return lambda step: writer.add_scalars("loss", values, step)


def _text(writer: Any) -> Call:
    return lambda step: writer.add_text("notes", _SENTENCE, step)


def _histogram(size: int) -> Callable[[Any], Call]:
    def bind(writer: Any) -> Call:
        values = _normal(size)
        return lambda step: writer.add_histogram("weights", values, step)

    return bind


def _image(make: Callable[[], torch.Tensor]) -> Callable[[Any], Call]:
    def bind(writer: Any) -> Call:
        picture = make()
        return lambda step: writer.add_image("sample", picture, step)

    return bind


def _images(writer: Any) -> Call:
    pictures = noise(16, 3, 64, 64)
    return lambda step: writer.add_images("samples", pictures, step)


def _drawn_video() -> torch.Tensor:
    """Return 16 frames of 64x64 in three colours: a game's."""
    frames = torch.zeros(1, 16, 3, 64, 64)
    frames[..., :, 32:] = 0.25
    for number in range(16):
        frames[0, number, :, 20:30, number * 3 : number * 3 + 10] = noise(3, 1, 1)
    return frames


def _filmed_video() -> torch.Tensor:
    """Return 16 frames of 128x128 in thousands of colours: a camera's."""
    scene = torch.nn.functional.interpolate(noise(1, 3, 24, 24), 192, mode="bicubic")[0]
    views = [scene[:, number : number + 128, number * 2 :][..., :128] for number in range(16)]
    return torch.stack(views)[None].clip(0, 1)


def _video(make: Callable[[], torch.Tensor]) -> Callable[[Any], Call]:
    def bind(writer: Any) -> Call:
        frames = make()
        return lambda step: writer.add_video("episode", frames, step)

    return bind


def _figure(writer: Any) -> Call:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure = plt.figure()
    figure.gca().plot(_normal(100).numpy())
    return lambda step: writer.add_figure("curve", figure, step, close=False)


def _mixed(writer: Any) -> Call:
    scalars = [f"train/metric_{number}" for number in range(SCALARS)]
    histograms = [f"layer_{number}/weights" for number in range(HISTOGRAMS)]
    weights = _normal(10_000)
    images = [f"sample/{number}" for number in range(IMAGES)]
    picture = smooth()[:, ::4, ::4] * 0.8 + noise(3, 64, 64) * 0.2

    def step(number: int) -> None:
        for tag in scalars:
            writer.add_scalar(tag, 0.5, number)
        if number % PERIOD == PERIOD - 1:
            for tag in histograms:
                writer.add_histogram(tag, weights, number)
            for tag in images:
                writer.add_image(tag, picture, number)

    return step


def _events_of_step(number: int) -> int:
    return SCALARS + (HISTOGRAMS + IMAGES if number % PERIOD == PERIOD - 1 else 0)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("scalar, float", "add_scalar", _scalar(0.5), 30_000, 6000, 12),
        Kind("scalar, 0-d tensor", "add_scalar", _scalar(torch.tensor(0.5)), 30_000, 6000, 10),
        Kind("scalar, numpy float", "add_scalar", _scalar(np.float32(0.5)), 30_000, 6000, 10),
        Kind("add_scalars, 4 series", "add_scalars", _series, 4500, 1500, 8, 1, lambda _: 4),
        Kind("text", "add_text", _text, 4500, 1500, 5),
        Kind("histogram, 1,000", "add_histogram", _histogram(1000), 300, 60, 6),
        Kind("histogram, 1,000,000", "add_histogram", _histogram(1_000_000), 15, 5, 2),
        Kind("image 3x256x256, noise", "add_image", _image(lambda: noise(3, 256, 256)), 30, 10, 4),
        Kind("image 3x256x256, smooth", "add_image", _image(smooth), 60, 20, 4),
        Kind("16 images 3x64x64, noise", "add_images", _images, 30, 10, 4),
        Kind("figure 640x480", "add_figure", _figure, 10, 3),
        Kind("video 16x3x64x64, drawn", "add_video", _video(_drawn_video), 30, 10, 1.5),
        Kind("video 16x3x128x128, filmed", "add_video", _video(_filmed_video), 6, 3, 1),
        Kind("mixed training step", "add_image", _mixed, 600, 200, 6, PERIOD, _events_of_step),
    )
}


def pixels(kind: Kind) -> npt.NDArray[np.uint8] | None:
    """Return the bytes, height x width x 3, of the image that a kind logs; None for the others."""
    made: Callable[[], torch.Tensor] | None = {
        "image 3x256x256, noise": lambda: noise(3, 256, 256),
        "image 3x256x256, smooth": smooth,
        # The grid of torch: eight in a row.
        "16 images 3x64x64, noise": lambda: noise(3, 128, 512),
    }.get(kind.name)
    if made is None:
        return None
    return np.ascontiguousarray((made().numpy() * 255).astype(np.uint8).transpose(1, 2, 0))
