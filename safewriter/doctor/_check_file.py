"""Checks of one event file's bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator

from safewriter.doctor._finding import Finding, plural
from safewriter.doctor._scan import FileScan, RunScan
from safewriter.events import Record, Verdict
from safewriter.runs._names import printable

# Where a file begins like this and holds no record, it never was an event file.
_NOT_OF_EVENTS = (Verdict.BAD_LENGTH_CRC, Verdict.BAD_DATA_CRC)


def check_bytes(run: RunScan) -> Iterator[Finding]:
    """Yield what is wrong with the bytes of the run's files."""
    for file in run.files:
        fault, is_empty = file.fault, file.records + file.behind == 0
        if file.error is not None:
            reason = file.error.strerror or str(file.error)
            text = f"{file.shown!r} cannot be read: {reason}."
            yield run.finding("SW503", text, file.path, error=reason)
        elif is_empty and (fault is None or fault.verdict is Verdict.TORN):
            some = f"holds {plural(file.size, 'byte')} of a first record"
            yield run.finding(
                "SW201",
                f"{file.shown!r} {some if file.size else 'is empty'}.",
                file.path,
                size=file.size,
                modified=file.mtime,
                files_in_run=len(run.files),
            )
        elif is_empty and fault is not None and fault.verdict in _NOT_OF_EVENTS:
            yield stray(run, file.path, "holds no event")
        elif fault is not None:
            yield from _damage(run, file, fault)
        if file.bad_walls:
            kind = "NaN" if file.bad_wall_nan else "infinite"
            yield run.finding(
                "SW209",
                f"{file.shown!r} has {plural(file.bad_walls, 'event')} with a wall time that is"
                f" {kind}, the first at byte {file.bad_wall_offset:,}.",
                file.path,
                fixable=True,
                events=file.bad_walls,
                offset=file.bad_wall_offset,
                nan=file.bad_wall_nan,
            )


def stray(run: RunScan, path: str, reason: str) -> Finding:
    """Return the finding for a file that is no event file of the run."""
    name = printable(os.path.basename(path))
    text = f"{name!r} {reason}, but TensorBoard reads it for its name."
    return run.finding("SW501", text, path, fixable=True, file=name, reason=reason)


def _damage(run: RunScan, file: FileScan, fault: Record) -> Iterator[Finding]:
    name, size = file.shown, f"{file.size:,}"
    where = f"at byte {fault.offset:,} of {size}"
    behind = f", {plural(file.behind, 'readable record')} behind it" if file.behind else ""
    torn = {}
    if fault.verdict is Verdict.UNDECODABLE:
        code = "SW208"
        text = f"{name!r} has a record {where} whose checksum is right but which is no event"
    elif fault.verdict is Verdict.BAD_DATA_CRC:
        code, text = "SW204", f"{name!r} has a record with a bad checksum {where}"
    elif file.behind:
        code, text = "SW206", f"{name!r} is damaged {where} ({fault.verdict.value})"
    elif fault.verdict is Verdict.ZEROS:
        code = "SW205"
        text = f"{name!r} holds nothing but zeros from byte {fault.offset:,} of {size} on"
    elif fault.verdict is not Verdict.TORN:
        code, text = "SW207", f"{name!r} ends, {where}, in bytes that are no record"
    elif file.live:  # its writer may be in the middle of this very record
        return
    else:
        code, text = "SW203", f"The last record of {name!r}, {where}, is torn"
        torn = {"bytes": file.size - fault.offset}
    yield run.finding(
        code,
        f"{text}{behind}.",
        file.path,
        fixable=not torn,
        offset=fault.offset,
        fault=fault.verdict.value,
        size=file.size,
        records_before=file.records,
        records_behind=file.behind,
        faults=file.faults,
        **torn,
    )
