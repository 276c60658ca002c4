"""What ``--fix`` notes in a run's hidden folder, so that it can be interrupted at any instant.

A repair replaces event files by one new file. In this order: the new file is written under a name
that TensorBoard does not read; the journal, naming it and the files it replaces, is written; the
new file is renamed into place; the old ones are renamed into the quarantine; the journal goes.
Every step is one atomic rename, and until the last of them each record is in the run at least once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safewriter._run.record import HIDDEN
from safewriter.doctor._finding import Finding, plural
from safewriter.doctor._scan import RunScan
from safewriter.runs._names import printable
from safewriter.runs._walk import MARK

_JOURNAL = "repair.json"
_NEW = "repair.tmp"
_QUARANTINE = "quarantine"


@dataclass(frozen=True)
class Journal:
    """A repair that has been decided on."""

    new: str
    originals: dict[str, int]  # name: size in bytes
    codes: list[str]


def check_journal(run: RunScan) -> Iterator[Finding]:
    """Yield a finding if a repair of the run was interrupted."""
    journal = read(run.path)
    if journal is not None:
        files, new = plural(len(journal.originals), "file"), printable(journal.new)
        text = f"A repair that replaces {files} by {new!r} was interrupted."
        originals = [printable(name) for name in journal.originals]
        yield run.finding("SW603", text, fixable=True, new=new, originals=originals)


def read(run: str) -> Journal | None:
    """Return the journal of a run, or None if no repair was interrupted."""
    try:
        with open(os.path.join(run, HIDDEN, _JOURNAL), encoding="utf-8") as file:
            content: Any = json.load(file)
        return Journal(
            os.path.basename(content["new"]),
            {os.path.basename(name): int(size) for name, size in content["originals"].items()},
            [str(code) for code in content["codes"]],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def new_path(run: str) -> str:
    """Return where the new file is written before it gets its name."""
    return os.path.join(run, HIDDEN, _NEW)


def commit(run: str, journal: Journal) -> None:
    """Put the finished new file in the place of the originals."""
    path = os.path.join(run, HIDDEN, _JOURNAL)
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        json.dump(asdict(journal), file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.tmp", path)
    _sync(os.path.join(run, HIDDEN))
    os.rename(new_path(run), os.path.join(run, journal.new))
    _finish(run, journal)


def recover(run: str) -> Journal | None:
    """Finish what an interrupted repair began, or undo it if its new file has no name yet.

    Returns the journal if it was finished.
    """
    journal = read(run)
    finish = journal is not None and os.path.exists(os.path.join(run, journal.new))
    if journal is not None and finish:
        _finish(run, journal)
    for name in (_JOURNAL, _NEW, f"{_JOURNAL}.tmp"):
        Path(run, HIDDEN, name).unlink(missing_ok=True)
    return journal if finish else None


def _finish(run: str, journal: Journal) -> None:
    _sync(run)
    for name, size in journal.originals.items():
        path = os.path.join(run, name)
        # One that has grown since holds records that the new file does not: it stays.
        if os.path.exists(path) and os.path.getsize(path) == size:
            quarantine(path)
    Path(run, HIDDEN, _JOURNAL).unlink(missing_ok=True)


def quarantine(path: str) -> None:
    """Move a file, its bytes unchanged, to where TensorBoard does not read it."""
    run, name = os.path.split(path)
    folder = os.path.join(run, HIDDEN, _QUARANTINE)
    os.makedirs(folder, exist_ok=True)
    os.rename(path, os.path.join(folder, free_name(folder, name.replace(MARK, "tf-events"))))
    _sync(folder)
    _sync(run)


def free_name(folder: str, name: str) -> str:
    """Return a name that nothing in the folder has: ``name``, or ``name-2`` and so on."""
    number, free = 1, name
    while os.path.lexists(os.path.join(folder, free)):
        number += 1
        free = f"{name}-{number}"
    return free


def _sync(directory: str) -> None:
    # A rename survives a power cut only once its directory is on the disk. Some network file
    # systems cannot sync a directory; they order renames themselves.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
