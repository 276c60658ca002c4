"""Who takes part: torch, tensorboardX and safewriter; others where they are installed."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .kinds import Call, Kind, pixels
from .records import Files

REFERENCE = "torch"
OURS, PATCHED = "safewriter", "safewriter, patched"
BARE, PNG = "write(2)", "PNG alone"


@dataclass(frozen=True)
class Contender:
    """A writer. `make` returns one in an empty directory; `events` is whether it writes events."""

    name: str
    module: str
    make: Callable[[str], Any]
    events: bool = True

    @property
    def installed(self) -> bool:
        """Whether it can take part."""
        return importlib.util.find_spec(self.module) is not None

    def does(self, kind: Kind) -> bool:
        """Tell whether it has the call of a kind; an adapter says so by its methods."""
        return not isinstance(self.make, type) or hasattr(self.make, kind.method)


def _torch(directory: str) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(directory)


def _tensorboardx(directory: str) -> Any:
    return importlib.import_module("tensorboardX").SummaryWriter(directory)


def _safewriter(directory: str) -> Any:
    from safewriter import SafeSummaryWriter

    return SafeSummaryWriter(directory)


def _patched(directory: str) -> Any:
    import safewriter

    safewriter.patch()
    return _torch(directory)


class _TensorFlow:
    """tf.summary, for the calls that it has."""

    def __init__(self, directory: str) -> None:
        self._summary = importlib.import_module("tensorflow").summary
        self._summary.create_file_writer(directory).set_as_default()

    def add_scalar(self, tag: str, value: Any, step: int) -> None:
        self._summary.scalar(tag, float(value), step)

    def add_text(self, tag: str, text: str, step: int) -> None:
        self._summary.text(tag, text, step)

    def add_histogram(self, tag: str, values: Any, step: int) -> None:
        self._summary.histogram(tag, values.numpy(), step)

    def flush(self) -> None:
        self._summary.flush()


class _Wandb:
    """wandb without a server."""

    def __init__(self, directory: str) -> None:
        wandb = importlib.import_module("wandb")
        self._run = wandb.init(dir=directory, mode="offline", settings={"silent": True})

    def add_scalar(self, tag: str, value: Any, step: int) -> None:
        self._run.log({tag: float(value)}, step)


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(REFERENCE, "torch", _torch),
        Contender("tensorboardX", "tensorboardX", _tensorboardx),
        Contender(OURS, "safewriter", _safewriter),
        Contender(PATCHED, "safewriter", _patched),
        Contender("tf.summary", "tensorflow", _TensorFlow),
        Contender("wandb, offline", "wandb", _Wandb, events=False),
    )
}


def bare_write(kind: Kind, directory: str) -> Call:
    """Return what appends the very records of a call with write(2): the least that can be done."""
    source = os.path.join(directory, "source")
    writer = _safewriter(source)
    call, files = kind.bind(writer), Files(source)
    files.new_records()
    steps = []
    for number in range(kind.period):
        call(number)
        steps.append(files.new_records())
    writer.close()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    file = os.open(os.path.join(directory, "bare"), flags, 0o666)
    write = os.write
    if len(steps) == len(steps[0]) == 1:
        record = steps[0][0]
        return lambda _: write(file, record)

    def step(number: int) -> None:
        for record in steps[number % len(steps)]:
            write(file, record)

    return step


def png_alone(kind: Kind) -> Call | None:
    """Return what encodes the picture of a call as Pillow does by default; None if it has none."""
    from PIL import Image

    array = pixels(kind)
    if array is None:
        return None
    return lambda _: Image.fromarray(array).save(io.BytesIO(), format="PNG")
