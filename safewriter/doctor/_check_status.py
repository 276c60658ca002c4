"""Checks of how a run ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from safewriter.doctor._finding import Finding, plural
from safewriter.doctor._scan import RunScan
from safewriter.events import RunStatus, run_record, run_status
from safewriter.events._waiting import waiting_files

IDLE_SECONDS = 3600.0
"""A live process that has not written for so long is reported."""


def check_status(run: RunScan) -> Iterator[Finding]:
    """Yield what the run's record and its lock say."""
    try:
        record = run_record(run.path)
        if record is None:
            return
        status = run_status(run.path)
    except OSError:
        return
    waiting = [path for _, path in waiting_files(run.path)]
    if waiting and status is not RunStatus.RUNNING:
        files = plural(len(waiting), "file")
        text = f"What the run's last writer logged waits in {files} of its hidden folder."
        yield run.finding("SW604", text, files=waiting)
    evidence: dict[str, Any] = {
        key: record[key] for key in ("pid", "host", "start") if key in record
    }
    process = f"{record.get('pid')} on {record.get('host')}"
    last = max((file.mtime for file in run.files), default=0.0)
    evidence["last_write"] = last
    idle = time.time() - last
    if status is RunStatus.CRASHED:
        text = f"The run was never closed, and its process {process} is gone."
        yield run.finding("SW601", text, **evidence)
    elif status is RunStatus.RUNNING and idle > IDLE_SECONDS:
        text = f"Process {process} holds the run, but has written nothing for {idle / 60:,.0f}"
        yield run.finding("SW602", f"{text} minutes.", **evidence)
