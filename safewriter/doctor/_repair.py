"""``--fix``: the cures that lose nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from safewriter._run.record import HIDDEN
from safewriter.doctor import _journal
from safewriter.doctor._check import check, wanted_codes
from safewriter.doctor._check_file import check_bytes
from safewriter.doctor._check_files import check_order
from safewriter.doctor._rewrite import rewrite
from safewriter.doctor._scan import FileScan, scan_run
from safewriter.events import RunStatus, run_record, run_status
from safewriter.runs._names import printable
from safewriter.runs._user import User
from safewriter.runs._walk import Directory, Progress, walk

_REWRITTEN = {"SW204", "SW205", "SW206", "SW207", "SW208", "SW209"}
_MERGED = {"SW301", "SW302"}
_MAX_ROUNDS = 3
_MAX_MERGED = 200  # each is open while they are merged


@dataclass(frozen=True)
class Action:
    """One step of a repair.

    Attributes:
        kind: ``"rewrite"`` (the readable records of a damaged file go to a new file),
            ``"merge"`` (files of a run go to one new file in time order), ``"quarantine"`` (a stray
            file is moved aside), ``"finish"`` (an interrupted repair) or ``"skip"``.
        run: the run's directory.
        files: names of the files that are replaced or moved aside.
        new: name of the new file, for a rewrite or a merge.
        codes: the findings that it cures.
        reason: why nothing was done, for a skip.
        done: whether it was carried out; never with ``dry_run``.
    """

    kind: Literal["rewrite", "merge", "quarantine", "finish", "skip"]
    run: Path
    files: tuple[str, ...] = ()
    new: str | None = None
    codes: tuple[str, ...] = ()
    reason: str | None = None
    done: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the action as in the JSON schema of the documentation."""
        return vars(self) | {
            "run": printable(self.run),
            "files": [printable(name) for name in self.files],
            "new": None if self.new is None else printable(self.new),
            "codes": list(self.codes),
        }


def repair(
    path: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    progress: Progress | None = None,
) -> list[Action]:
    """Cure what can be cured without losing a record, and return what was done.

    Records that can be read go to a new event file; the file that they come from moves, its bytes
    unchanged, to ``.safewriter/quarantine`` in the run's directory, under a name that TensorBoard
    does not read. A run that is being written is left alone: its lock is held meanwhile, and a run
    of another writer (which has no lock) is skipped if it was written to in the last two minutes.

    Args:
        path: what is given to ``tensorboard --logdir``.
        dry_run: change nothing and return what would be done.
        select: cure only these codes, as in `check`.
        ignore: do not cure these codes.
        progress: called now and then while the log directory is read.
    """
    wanted = wanted_codes(select, ignore)
    findings = check(path, progress=progress)
    broken = {finding.run for finding in findings if finding.fixable and finding.code in wanted}
    top = os.path.abspath(os.path.expanduser(os.fsdecode(path)))
    actions: list[Action] = []
    for directory in list(walk(top, User.current())):
        if isinstance(directory, Directory) and directory.name in broken:
            actions += _repair_run(directory, wanted, dry_run)
    return actions


def _repair_run(directory: Directory, wanted: set[str], dry_run: bool) -> Iterator[Action]:
    run = Path(directory.path)
    if dry_run:
        if (journal := _journal.read(directory.path)) is not None:
            files = tuple(journal.originals)
            yield Action("finish", run, files, journal.new, tuple(journal.codes))
            return
        if run_status(run) is RunStatus.RUNNING:
            yield Action("skip", run, reason="it is being written")
            return
        yield from _plan(directory, wanted)
        return
    try:
        (run / HIDDEN).mkdir(exist_ok=True)
        lock = FileLock(run / HIDDEN / "lock", fallback_to_soft=False)
        with lock.acquire(blocking=False):
            yield from _repair_locked(directory, wanted)
    except Timeout:
        yield Action("skip", run, reason="it is being written")
    except OSError as error:
        yield Action("skip", run, reason=f"{printable(error.filename or run)}: {error.strerror}")


def _repair_locked(directory: Directory, wanted: set[str]) -> Iterator[Action]:
    run = Path(directory.path)
    if (journal := _journal.recover(directory.path)) is not None:
        yield Action(
            "finish", run, tuple(journal.originals), journal.new, tuple(journal.codes), done=True
        )
    # Records that come to light from behind a fault can show that the order is wrong as well.
    for _ in range(_MAX_ROUNDS):
        tree = walk(directory.path, User.current())
        now = next(met for met in tree if isinstance(met, Directory))
        actions = [_carry_out(action) for action in _plan(now, wanted)]
        yield from actions
        if not any(action.done for action in actions):
            return


def _plan(directory: Directory, wanted: set[str]) -> Iterator[Action]:
    """Yield what would cure a run."""
    path = Path(directory.path)
    run = scan_run(directory)
    if run.live and run_record(path) is None:
        yield Action("skip", path, reason="it was written to in the last two minutes")
        return
    findings = [f for f in check_bytes(run) if f.fixable and f.code in wanted]
    strays = {f.path.name for f in findings if f.code == "SW501"}
    if "SW501" in wanted:
        strays |= {os.path.basename(stray) for stray in directory.strays}
    for name in sorted(strays):
        yield Action("quarantine", path, (name,), codes=("SW501",))
    order = {f.code for f in check_order(run)} & _MERGED & wanted
    if order:
        codes = order | {f.code for f in findings if f.code in _REWRITTEN}
        yield _merge(path, [file for file in run.files if file.name not in strays], codes)
        return
    by_file: dict[str, set[str]] = {}
    for finding in findings:
        if finding.code in _REWRITTEN:
            by_file.setdefault(finding.path.name, set()).add(finding.code)
    for name, codes in by_file.items():
        new = _new_name(path, name, "repaired")
        yield Action("rewrite", path, (name,), new, tuple(sorted(codes)))


def _merge(path: Path, files: list[FileScan], codes: set[str]) -> Action:
    files = [file for file in files if file.records + file.behind]
    names = tuple(file.name for file in files)
    if len(files) > _MAX_MERGED:
        reason = f"{len(files)} files are more than can be merged at once ({_MAX_MERGED})"
        return Action("skip", path, names, codes=tuple(sorted(codes)), reason=reason)
    new = _new_name(path, names[-1], "merged")
    return Action("merge", path, names, new, tuple(sorted(codes)))


def _new_name(run: Path, name: str, what: str) -> str:
    # Behind the original and before everything that sorts after it: '-' is below '.' and digits.
    return _journal.free_name(os.fspath(run), f"{name}-{what}")


def _carry_out(action: Action) -> Action:
    if action.kind == "skip":
        return action
    run = os.fspath(action.run)
    paths = [os.path.join(run, name) for name in action.files]
    try:
        if action.new is None:
            for path in paths:
                _journal.quarantine(path)
            return replace(action, done=True)
        before = [os.stat(path) for path in paths]
        rewrite(paths, _journal.new_path(run))
        if any(_changed(path, status) for path, status in zip(paths, before, strict=True)):
            _journal.recover(run)
            return replace(action, kind="skip", reason="it was written to meanwhile")
        sizes = {name: status.st_size for name, status in zip(action.files, before, strict=True)}
        _journal.commit(run, _journal.Journal(action.new, sizes, list(action.codes)))
    except OSError as error:
        with suppress(OSError):  # a half-written new file; or finish what has been decided on
            _journal.recover(run)
        reason = f"{printable(error.filename or run)}: {error.strerror}"
        return replace(action, kind="skip", reason=reason)
    return replace(action, done=True)


def _changed(path: str, before: os.stat_result) -> bool:
    now = os.stat(path)
    return (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns)
