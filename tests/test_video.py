"""Videos: the frames that torch writes with moviepy, without it."""

from __future__ import annotations

import io
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard import summary as torchs

from safewriter import ArgumentValueError, SafeSummaryWriter
from tests.support import event_files, read_events
from tests.support.processes import child_env


def frames(encoded: bytes) -> list[tuple[int, bytes]]:
    """Return the delay, in 1/100 s, and the pixels of each frame of a GIF."""
    with Image.open(io.BytesIO(encoded)) as picture:
        return [
            (frame.info.get("duration", 0) // 10, frame.convert("RGB").tobytes())
            for frame in ImageSequence.Iterator(picture)
        ]


def pictures(encoded: bytes) -> list[bytes]:
    """Return the pixels of each frame of a GIF."""
    return [pixels for _, pixels in frames(encoded)]


def logged(directory: Any, video: Any, **options: Any) -> Any:
    """Return the image that our writer writes for a video."""
    with SafeSummaryWriter(directory, unique=False) as writer:
        writer.add_video("video", video, 1, **options)
    (value,) = read_events(event_files(directory)[0])[-1].summary.value
    return value.image


def noise(*shape: int, dtype: str = "uint8") -> Any:
    """Return noise in the range that the type stands for."""
    drawn = np.random.default_rng(0).random(shape)
    if dtype == "uint8":
        return (drawn * 255).astype(dtype)
    return (drawn * 1.3 - 0.1).astype(dtype)  # a little out of range: below 0 and above 1


VIDEOS = {
    "of few colours": noise(1, 5, 3, 16, 16) // 100 * 100,
    "of more than 256 colours": noise(1, 4, 3, 40, 30),
    "two side by side": noise(2, 3, 3, 8, 12),
    "three, and black": noise(3, 3, 3, 8, 12),
    "five, and black": noise(5, 3, 3, 8, 12),
    "sixteen in a square": noise(16, 2, 3, 5, 4),
    "of one frame": noise(1, 1, 3, 9, 9),
    "standing still": np.repeat(noise(1, 2, 3, 9, 9), 3, axis=1),
    "with alpha": noise(1, 3, 4, 9, 9),
    "float32": noise(3, 3, 3, 9, 9, dtype="float32"),
    "float64": noise(1, 3, 3, 9, 9, dtype="float64"),
    "float16": noise(1, 3, 3, 9, 9, dtype="float16"),
    "bool": noise(1, 3, 3, 9, 9, dtype="bool"),
    "int64": noise(1, 3, 3, 9, 9, dtype="int64"),
    "bfloat16": torch.rand(2, 3, 3, 9, 9).bfloat16(),
    "strided": torch.rand(3, 3, 9, 9, 2).permute(4, 0, 1, 2, 3),
}


@pytest.mark.parametrize("video", VIDEOS.values(), ids=VIDEOS)
def test_a_video_has_the_frames_that_torch_writes_with_moviepy(tmp_path, video):
    """Size, order and every decoded pixel are torch's, whatever the type, layout and colours."""
    theirs = torchs.video("video", video).value[0].image
    ours = logged(tmp_path, video)
    assert (ours.height, ours.width, ours.colorspace) == (
        theirs.height,
        theirs.width,
        theirs.colorspace,
    )
    assert pictures(ours.encoded_image_string) == pictures(theirs.encoded_image_string)


@pytest.mark.parametrize("moviepy", [None, ModuleType("moviepy")], ids=["absent", "without editor"])
def test_no_moviepy_is_needed(tmp_path, monkeypatch, moviepy):
    """Where moviepy is absent, or is moviepy 2, torch writes nothing; our bytes are the same."""
    video = VIDEOS["of more than 256 colours"]
    with_moviepy = logged(tmp_path / "with", video)
    monkeypatch.setitem(sys.modules, "moviepy", moviepy)
    monkeypatch.delitem(sys.modules, "moviepy.editor", raising=False)
    assert torchs.video("video", video).value[0].WhichOneof("value") is None
    assert logged(tmp_path / "without", video) == with_moviepy


@pytest.mark.parametrize(
    ("fps", "delays"),
    [
        (4, [25] * 6),
        (8, [12, 13, 12, 13, 12, 13]),
        (30, [3, 3, 4, 3, 3, 4]),
        (50, [2] * 6),
        (1000, [2] * 6),
        (0.5, [200] * 6),
        (1e-6, [65535] * 6),
    ],
)
def test_frames_are_shown_at_the_rate_that_was_asked_for(tmp_path, fps, delays):
    """Delays add up to frames/fps, but for what GIF, or a browser, cannot do."""
    image = logged(tmp_path, noise(1, 6, 3, 8, 8), fps=fps)
    assert [delay for delay, _ in frames(image.encoded_image_string)] == delays


def test_a_video_in_grey_is_shown(tmp_path):
    """One channel is grey, exactly; torch refuses it."""
    video = noise(1, 3, 1, 20, 20)
    image = logged(tmp_path, video)
    assert pictures(image.encoded_image_string) == [
        np.repeat(frame[0, ..., None], 3, -1).tobytes() for frame in video[0]
    ]


@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (1, 2, 2, 5, 6), (1, 2, 5, 6, 3)])
def test_what_is_no_video_is_refused(tmp_path, shape):
    """Another shape raises before anything is written."""
    with SafeSummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 1.0, 0)
        with pytest.raises(ArgumentValueError, match=r"\(videos, frames, channels") as caught:
            writer.add_video("video", np.zeros(shape), 1)
        assert caught.value.argument == "vid_tensor"


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(tmp_path, fps):
    """Frames per second have to be positive."""
    with SafeSummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 1.0, 0)
        with pytest.raises(ArgumentValueError, match="fps"):
            writer.add_video("video", noise(1, 2, 3, 4, 4), 1, fps=fps)


_AT_EXIT = """
import atexit, sys, torch
from safewriter import SafeSummaryWriter
writer = SafeSummaryWriter(sys.argv[1], unique=False)
atexit.register(lambda: writer.add_video("video", torch.rand(1, 3, 3, 16, 16), 1))
"""


def test_a_video_is_written_at_exit_too(tmp_path):
    """Where no thread can be started any more, frames are encoded without."""
    subprocess.run(
        [sys.executable, "-c", _AT_EXIT, str(tmp_path)], check=True, timeout=120, env=child_env()
    )
    (value,) = read_events(event_files(tmp_path)[0])[-1].summary.value
    assert len(frames(value.image.encoded_image_string)) == 3


def test_a_hook_on_torchs_method_sees_the_call(tmp_path, monkeypatch):
    """A tracker that wraps ``add_video`` is called, and torch's own code writes the video."""
    seen = []
    original = SummaryWriter.add_video

    def hook(self: Any, *args: Any, **kwargs: Any) -> None:
        seen.append(args[0])
        original(self, *args, **kwargs)

    monkeypatch.setattr(SummaryWriter, "add_video", hook)
    logged(tmp_path, VIDEOS["of few colours"])
    assert seen == ["video"]
