"""Going on with an earlier run: which, what it holds, and when its later points must be hidden."""

from __future__ import annotations

import os
import re
from collections.abc import Container
from typing import Any

from safewriter._ledger.ledger import TagLedger
from safewriter._run.directory import explained, is_run, run_tail
from safewriter._run.process import this_process
from safewriter._run.record import read_record
from safewriter.events import (
    RunStatus,
    TagSummary,
    event_files,
    read_events,
    run_status,
    summarise,
)


def newest_run(
    log_dir: str, comment: str = "", rank: int | None = None, taken: Container[str] = ()
) -> tuple[str | None, str | None]:
    """Return the run to continue: `log_dir` itself, else the newest below it, else None.

    With a comment or a rank, only a run below it that has the same one. Those in `taken`, those of
    other users, and those that a live process is writing or that cannot be read, are passed over.
    Returned as well is a newer one that was passed over because another process is writing it.
    """
    if is_run(log_dir):
        return log_dir, None
    tail = run_tail(comment, rank)
    mine = re.compile(
        rf"\d{{4}}(-\d\d){{2}}_\d\d(-\d\d){{2}}{re.escape(tail)}(-\d+)?" if tail else ".*"
    )
    nothing = (0.0, "")
    newest = live = nothing
    try:
        entries = list(os.scandir(log_dir))
    except OSError:
        return None, None
    for entry in entries:
        try:
            if not (entry.is_dir() and mine.fullmatch(entry.name) and is_run(entry.path)):
                continue
            if hasattr(os, "geteuid") and entry.stat().st_uid != os.geteuid():
                continue
            # comment="seed" also looks like the name of a second run of comment="seed-2".
            record = read_record(entry.path) or {}
            if comment and record.get("comment", comment) != comment:
                continue
            found = (_started(entry.path, record), entry.path)
            if entry.path not in taken and run_status(entry.path) is not RunStatus.RUNNING:
                newest = max(newest, found)
            elif record.get("token") != this_process().token:
                live = max(live, found)
        except OSError:
            continue
    return newest[1] or None, live[1] if live > newest else None


def _started(directory: str, record: dict[str, Any]) -> float:
    """Return when a run began to be written, in seconds since the epoch."""
    start = record.get("start")
    if isinstance(start, (int, float)):
        return start
    stamps = (re.search(r"tfevents\.(\d+)", path) for path in event_files(directory))
    return max((float(found[1]) for found in stamps if found), default=0.0)


class Earlier:
    """What the earlier sessions of a run left in one of its directories.

    Raises :class:`RunDirectoryError` if it cannot be read.
    """

    def __init__(self, directory: str) -> None:
        with explained(directory):
            try:
                self.tags = summarise(directory).tags
            except FileNotFoundError:  # a new series
                self.tags = {}
        curves = [
            summary
            for summary in self.tags.values()
            if not summary.kind.startswith("tensor:")
            and (summary.first_step < summary.max_step or len(self.tags) == 1)
        ]
        # The tags that count what the run counts, with their highest steps.
        self._counted = {
            curve.tag: curve.max_step
            for curve in curves
            if not any(_counts_faster(other, curve) for other in curves)
        }
        self._purge_step: int | None = None

    def teach(self, ledger: TagLedger) -> None:
        """Tell the ledger what is there already: logging it again is expected."""
        for tag, summary in self.tags.items():
            if tag not in ledger.tags:
                ledger.expect(tag, summary.kind, summary.first_step, summary.last_step)
        self.tags = {}

    def purge(self, step: int | None) -> None:
        """Restart at `step` before anything is logged; None if that was announced already."""
        self._purge_step = step
        self._counted = {}

    def restart_at(self, tag: str, step: int | None) -> int | None:
        """Return the step of a restart that is due before `tag` is logged at `step`, if any.

        TensorBoard's Python reader hides earlier points only behind an announced restart, and then
        those of all tags from that step on. So it is announced once, when the first of the curves
        that count the run's steps is logged again, and never if that goes on behind its end. A lone
        value, such as the number of parameters at step 0 of each session, or a curve by epochs
        beside curves by batches would hide what is not logged again.
        """
        if self._purge_step is not None:
            step, self._purge_step = self._purge_step, None
            return step
        last = self._counted.get(tag)
        if last is None or step is None:
            return None
        self._counted = {}
        return step if step <= last else None


def _counts_faster(other: TagSummary, curve: TagSummary) -> bool:
    """Tell whether `other` counts smaller things than `curve`, as batches beside epochs.

    Then it was further on although it is older, or it is more than twice as far.
    """
    return other.max_step > curve.max_step and (
        other.last_wall_time < curve.last_wall_time or other.max_step > 2 * curve.max_step
    )


def logged_from(path: str, step: int) -> list[bytes]:
    """Return the events of one event file that a restart at `step` hides, serialized."""
    return [
        event.SerializeToString()
        for event in read_events(path)
        if event.HasField("summary") and event.step >= step
    ]
