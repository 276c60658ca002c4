"""Checks of how a run ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from safewriter.doctor._finding import Finding
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
        yield Finding(
            "SW604",
            f"What the run's last writer logged waits in {len(waiting)} file"
            f"{'s' if len(waiting) > 1 else ''} of its hidden folder.",
            Path(run.path),
            run.name,
            {"files": waiting},
        )
    evidence = {
        key: value
        for key in ("pid", "host", "start")
        if isinstance(value := record.get(key), (int, float, str))
    }
    last = max((file.mtime for file in run.files), default=0.0)
    evidence["last_write"] = last
    who = f"process {evidence.get('pid')} on {evidence.get('host')}"
    if status is RunStatus.CRASHED:
        yield Finding(
            "SW601",
            f"The run was never closed, and its {who} is gone.",
            Path(run.path),
            run.name,
            evidence,
        )
    elif status is RunStatus.RUNNING and time.time() - last > IDLE_SECONDS:
        yield Finding(
            "SW602",
            f"{who[0].upper()}{who[1:]} holds the run, but has written nothing for"
            f" {(time.time() - last) / 60:,.0f} minutes.",
            Path(run.path),
            run.name,
            evidence,
        )
