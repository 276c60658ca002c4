"""The runs below a log directory, oldest first."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safewriter._kinds import SESSION_START
from safewriter.events import RunStatus, RunSummary, run_record, run_status, summarise
from safewriter.runs._names import printable
from safewriter.runs._user import User
from safewriter.runs._walk import Directory, Progress, counted, walk


@dataclass(frozen=True)
class Run:
    """One run directory.

    Attributes:
        name: its path below the listed directory, as TensorBoard names the run.
        path: the directory, absolute.
        status: running, finished, failed, crashed; unknown if another writer made it.
        exit_code: of a failed run, what the program ended with, if that is known.
        signal: of a failed run, the number of the signal that ended it, if that is known.
        started: seconds since 1970: when the program first started, else the first event's wall
            time; None if the run holds no event.
        duration: seconds that the program ran, in all sessions together; until now if it runs; of
            a session that crashed, until its last event.
        sessions: how many starts of a program wrote it; None if another writer made it.
        part_of: the name of the run that this is only a part of, as a series of ``add_scalars`` or
            the values of ``add_hparams``; None if it is none.
        events: how many events hold data.
        tags: how many tags.
        last_step: the highest step of any tag; None without data.
        size: bytes of its event files.
        command: the command line, if safewriter wrote the run.
    """

    name: str
    path: Path
    status: RunStatus
    exit_code: int | None
    signal: int | None
    started: float | None
    duration: float | None
    sessions: int | None
    part_of: str | None
    events: int
    tags: int
    last_step: int | None
    size: int
    command: str | None

    def as_json(self) -> dict[str, Any]:
        """Return the run as in the JSON schema of the documentation."""
        return vars(self) | {
            "name": printable(self.name),
            "path": printable(self.path),
            "status": self.status.value,
            "part_of": None if self.part_of is None else printable(self.part_of),
        }


def list_runs(logdir: str | os.PathLike[str], *, progress: Progress | None = None) -> list[Run]:
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
    tokens: dict[str, set[str]] = {}
    runs = [_run(directory, tokens) for directory in counted(directories, progress)]
    return sorted(runs, key=lambda run: (run.started is None, run.started or 0.0, run.name))


def _run(directory: Directory, tokens: dict[str, set[str]]) -> Run:
    """Return one run; `tokens` are those of the sessions of every run that was met so far."""
    path = directory.path
    try:
        record = run_record(path) or {}
        status = run_status(path)
    except OSError:
        record, status = {}, RunStatus.UNKNOWN
    try:
        summary = summarise(path)
    except OSError:  # deleted since the walk, or not readable
        summary = RunSummary(path)
    sessions = [session for session in record.get("sessions", []) if "start" in session]
    tokens[directory.name] = {token for session in sessions if (token := session.get("token"))}
    files = []
    for file in directory.files:
        with suppress(OSError):
            files.append(os.stat(file))
    if sessions:
        started = sessions[0]["start"]
        changes = [file.st_mtime for file in files]
        duration = _duration(sessions, status, changes, summary.last_wall_time)
    else:
        started, ended = summary.first_wall_time, summary.last_wall_time
        duration = None if started is None or ended is None else max(0.0, ended - started)
    argv = record.get("argv")
    failed = status is RunStatus.FAILED
    return Run(
        name=directory.name,
        path=Path(path),
        status=status,
        exit_code=record.get("exit_code") if failed else None,
        signal=record.get("signal") if failed else None,
        started=started,
        duration=duration,
        sessions=len(sessions) or None,
        part_of=_part_of(directory.name, tuple(summary.tags), tokens),
        events=sum(tag.count for tag in summary.tags.values()) + summary.has_graph,
        tags=len(summary.tags),
        last_step=max((tag.max_step for tag in summary.tags.values()), default=None),
        size=sum(file.st_size for file in files),
        command=shlex.join(argv) if argv is not None else None,
    )


def _duration(
    sessions: list[dict[str, Any]],
    status: RunStatus,
    changes: list[float],
    last_wall_time: float | None,
) -> float | None:
    """Return the sum of the sessions; `changes` are when the event files were written last."""
    total = 0.0
    for session, following in zip(sessions, [*sessions[1:], None], strict=True):
        start, end = session["start"], session["end"]
        if end is None and following is None:
            end = time.time() if status is RunStatus.RUNNING else last_wall_time
            if end is None:
                return None
        elif end is None and following is not None:
            # It crashed: it went on at least until it last wrote a file of its own.
            own = (change for change in changes if start <= change < following["start"])
            end = max(own, default=start)
        total += max(0.0, end - start)
    return total


def _part_of(name: str, tags: Sequence[str], tokens: dict[str, set[str]]) -> str | None:
    """Return the run that one is only a part of, or None if it stands for itself.

    Whoever made it, a series holds one tag, and is called after it. The values of ``add_hparams``
    have their own tag; where safewriter wrote them, the process of the run did.
    """
    above = name
    while above not in tokens or above == name:
        if above == os.curdir:
            return None
        above = os.path.dirname(above) or os.curdir
    below = name.removeprefix(above + os.sep)
    is_series = len(tags) == 1 and below.startswith(tags[0].replace("/", "_") + "_")
    is_hparams = SESSION_START in tags and tokens[name] <= tokens[above]
    return above if is_series or is_hparams else None
