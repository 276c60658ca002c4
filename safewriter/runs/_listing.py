"""The runs below a log directory, oldest first."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safewriter.events import RunStatus, run_record, run_status, summarise
from safewriter.runs._names import printable
from safewriter.runs._user import User
from safewriter.runs._walk import Directory, walk


@dataclass(frozen=True)
class Run:
    """One run directory.

    Attributes:
        name: its path below the listed directory, as TensorBoard names the run.
        path: the directory, absolute.
        status: running, finished, failed, crashed; unknown if another writer made it.
        started: seconds since 1970: when the program started, else the first event's wall time;
            None if the run holds no event.
        duration: seconds until the program ended; until now if it runs; else until the last event.
        events: how many events hold data.
        tags: how many tags.
        last_step: the highest step of any tag; None without data.
        size: bytes of its event files.
        command: the command line, if safewriter wrote the run.
    """

    name: str
    path: Path
    status: RunStatus
    started: float | None
    duration: float | None
    events: int
    tags: int
    last_step: int | None
    size: int
    command: str | None

    def as_json(self) -> dict[str, Any]:
        """Return the run as in the JSON schema of the documentation."""
        return {
            "name": printable(self.name),
            "path": printable(self.path),
            "status": self.status.value,
            "started": self.started,
            "duration": self.duration,
            "events": self.events,
            "tags": self.tags,
            "last_step": self.last_step,
            "size": self.size,
            "command": self.command,
        }


def list_runs(
    logdir: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None
) -> list[Run]:
    """Return the runs at and below a log directory, written by any tool.

        for run in safewriter.list_runs("runs"):
            print(run.name, run.status.value, run.last_step)

    Args:
        logdir: a directory; ``~`` is expanded.
        progress: called with the number of runs that were read, and of all.

    Returns:
        The runs, the oldest first; those without a start come last.

    Raises:
        OSError: ``logdir`` is missing, cannot be read, or is not a directory.
    """
    top = os.path.abspath(os.path.expanduser(os.fspath(logdir)))
    os.scandir(top).close()
    tree = walk(top, User.current())
    directories = [met for met in tree if isinstance(met, Directory) and met.files]
    runs = []
    for number, directory in enumerate(directories):
        if progress is not None:
            progress(number, len(directories))
        runs.append(_run(directory))
    if progress is not None:
        progress(len(directories), len(directories))
    return sorted(runs, key=lambda run: (run.started is None, run.started or 0.0, run.name))


def _run(directory: Directory) -> Run:
    path = directory.path
    try:
        record = run_record(path) or {}
        status = run_status(path)
    except OSError:
        record, status = {}, RunStatus.UNKNOWN
    try:
        summary = summarise(path)
    except OSError:  # deleted since the walk, or not readable
        return Run(directory.name, Path(path), status, None, None, 0, 0, None, 0, None)
    started = _number(record.get("start"), summary.first_wall_time)
    ended = _number(record.get("end"), summary.last_wall_time)
    if status is RunStatus.RUNNING:
        ended = time.time()
    duration = None if started is None or ended is None else max(0.0, ended - started)
    argv = record.get("argv")
    return Run(
        name=directory.name,
        path=Path(path),
        status=status,
        started=started,
        duration=duration,
        events=sum(tag.count for tag in summary.tags.values()) + summary.has_graph,
        tags=len(summary.tags),
        last_step=max((tag.max_step for tag in summary.tags.values()), default=None),
        size=sum(os.path.getsize(file) for file in directory.files if os.path.exists(file)),
        command=shlex.join(map(str, argv)) if isinstance(argv, list) else None,
    )


def _number(value: object, otherwise: float | None) -> float | None:
    return float(value) if isinstance(value, (int, float)) else otherwise
