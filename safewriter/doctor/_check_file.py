"""Checks of one event file's bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safewriter.doctor._finding import Finding, plural
from safewriter.doctor._scan import FileScan, RunScan
from safewriter.events import Verdict
from safewriter.runs._names import printable


def is_stray(file: FileScan) -> bool:
    """Whether a file holds bytes, but no record at all and not the torn beginning of one."""
    return (
        file.fault is not None
        and file.fault.offset == 0
        and file.records + file.behind == 0
        and file.fault.verdict not in (Verdict.TORN, Verdict.ZEROS, Verdict.UNDECODABLE)
    )


def check_bytes(run: RunScan) -> Iterator[Finding]:
    """Yield what is wrong with the bytes of the run's files."""
    for file in run.files:
        if file.error is not None:
            reason = file.error.strerror or str(file.error)
            yield Finding(
                "SW503",
                f"{printable(file.name)!r} cannot be read: {reason}.",
                Path(file.path),
                run.name,
                {"error": reason},
            )
        elif is_stray(file):
            yield stray(file.path, run.name, "holds no event")
        elif file.records + file.behind == 0 and (file.fault is None or _is_torn(file)):
            yield _no_record(run, file)
        elif file.fault is not None:
            yield from _fault(run, file)
        if file.bad_walls:
            yield _bad_wall(run, file)


def stray(path: str, run: str, reason: str) -> Finding:
    """Return the finding for a file that is no event file of the run."""
    return Finding(
        "SW501",
        f"{printable(Path(path).name)!r} {reason}, but TensorBoard reads it for its name.",
        Path(path),
        run,
        {"file": printable(Path(path).name), "reason": reason},
        fixable=True,
    )


def _is_torn(file: FileScan) -> bool:
    return file.fault is not None and file.fault.verdict is Verdict.TORN


def _no_record(run: RunScan, file: FileScan) -> Finding:
    what = "is empty" if file.size == 0 else f"holds {plural(file.size, 'byte')} of a first record"
    return Finding(
        "SW201",
        f"{printable(file.name)!r} {what}.",
        Path(file.path),
        run.name,
        {"size": file.size, "modified": file.mtime, "files_in_run": len(run.files)},
    )


def _fault(run: RunScan, file: FileScan) -> Iterator[Finding]:
    fault = file.fault
    assert fault is not None
    evidence: dict[str, Any] = {
        "offset": fault.offset,
        "fault": fault.verdict.value,
        "size": file.size,
        "records_before": file.records,
        "records_behind": file.behind,
        "faults": file.faults,
    }
    where = f"at byte {fault.offset:,} of {file.size:,}"
    name = printable(file.name)
    behind = f", {plural(file.behind, 'readable record')} behind it" if file.behind else ""
    if fault.verdict is Verdict.UNDECODABLE:
        code = "SW208"
        text = f"{name!r} has a record {where} whose checksum is right but which is no event"
    elif fault.verdict is Verdict.BAD_DATA_CRC:
        code = "SW204"
        text = f"{name!r} has a record with a bad checksum {where}"
    elif file.behind:
        code = "SW206"
        text = f"{name!r} is damaged {where} ({fault.verdict.value})"
    elif fault.verdict is Verdict.ZEROS:
        code = "SW205"
        text = f"{name!r} holds nothing but zeros from byte {fault.offset:,} of {file.size:,} on"
    elif fault.verdict is Verdict.TORN:
        if file.live:  # its writer may be in the middle of this very record
            return
        code = "SW203"
        text = f"the last record of {name!r}, {where}, is torn"
        evidence["bytes"] = file.size - fault.offset
    else:
        code = "SW207"
        text = f"{name!r} ends, {where}, in bytes that are no record"
    yield Finding(
        code,
        text[0].upper() + text[1:] + behind + ".",
        Path(file.path),
        run.name,
        evidence,
        fixable=code != "SW203",
    )


def _bad_wall(run: RunScan, file: FileScan) -> Finding:
    kind = "NaN" if file.bad_wall_nan else "infinite"
    return Finding(
        "SW209",
        f"{printable(file.name)!r} has {plural(file.bad_walls, 'event')} with a wall time that is"
        f" {kind}, the first at byte {file.bad_wall_offset:,}.",
        Path(file.path),
        run.name,
        {"events": file.bad_walls, "offset": file.bad_wall_offset, "nan": file.bad_wall_nan},
        fixable=True,
    )
