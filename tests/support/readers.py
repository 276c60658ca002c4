"""Reading event files back with TensorBoard's own code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

from tensorboard.backend.event_processing.event_accumulator import (
    COMPRESSED_HISTOGRAMS,
    HISTOGRAMS,
    IMAGES,
    SCALARS,
    TENSORS,
    EventAccumulator,
)
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.util import tensor_util

Scalars: TypeAlias = dict[str, list[tuple[int, float]]]
"""Tag to ``(step, value)`` pairs, in the order in which TensorBoard has them."""

# 0 means: keep every point. By default TensorBoard samples.
_EVERYTHING = dict.fromkeys((COMPRESSED_HISTOGRAMS, HISTOGRAMS, IMAGES, SCALARS, TENSORS), 0)


def event_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the event files at or below ``path``, in the order in which TensorBoard reads them."""
    path = Path(path)
    if path.is_file():
        return [path]
    found = (Path(at, name) for at, _, names in os.walk(path) for name in names)
    return sorted(file for file in found if "tfevents" in file.name)


def read_events(path: str | os.PathLike[str]) -> list[Event]:
    """Return every event of a file, or of all files below a directory, as it was written.

    The version records come too. A file is read up to its first record that is torn or has a bad
    CRC, silently: that is what TensorBoard's Python reader does.
    """
    return [
        event for file in event_files(path) for event in LegacyEventFileLoader(str(file)).Load()
    ]


def accumulate(path: str | os.PathLike[str], *, purge: bool = True) -> EventAccumulator:
    """Return a loaded ``EventAccumulator`` over one run directory or one file, with every point.

    Args:
        path: subdirectories are other runs and are not read.
        purge: drop points that TensorBoard takes for orphans of a restart, as it does by default.
    """
    accumulator = EventAccumulator(
        os.fspath(path), size_guidance=_EVERYTHING, purge_orphaned_data=purge
    )
    return accumulator.Reload()


def read_scalars(path: str | os.PathLike[str], *, purge: bool = True) -> Scalars:
    """Return the scalars of one run directory or event file; the arguments are `accumulate`'s."""
    accumulator = accumulate(path, purge=purge)
    tags = accumulator.Tags()
    scalars: Scalars = {
        tag: [(point.step, point.value) for point in accumulator.Scalars(tag)]
        for tag in tags[SCALARS]
    }
    # `new_style=True` and `double_precision=True` write a scalar as a tensor.
    for tag in tags[TENSORS]:
        if accumulator.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            scalars[tag] = [
                (point.step, float(tensor_util.make_ndarray(point.tensor_proto).item()))
                for point in accumulator.Tensors(tag)
            ]
    return scalars


def read_runs(logdir: str | os.PathLike[str], *, purge: bool = True) -> dict[str, Scalars]:
    """Return the scalars of every run below ``logdir``, by the name TensorBoard gives the run.

    That name is the run directory's path relative to ``logdir``; ``.`` is ``logdir`` itself.
    """
    runs = {file.parent for file in event_files(logdir)}
    return {
        run.relative_to(logdir).as_posix(): read_scalars(run, purge=purge) for run in sorted(runs)
    }
