"""The directories that TensorBoard walks through, each once, and what lies in the way."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from safewriter.runs._names import printable
from safewriter.runs._user import User

MARK = "tfevents"

# Endings that a copy, a lock or an editor puts behind a name. A writer may have been given such an
# ending too (filename_suffix), so it counts only beside the file that it is put behind.
_STRAY_ENDINGS = (
    *(".bak", ".backup", ".old", ".orig", ".save", ".copy", "~", ".swp", ".swo", ".tmp", ".temp"),
    *(".part", ".partial", ".crdownload", ".lock", ".lck", ".json", ".txt", ".csv", ".log", ".md5"),
    *(".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar", ".tgz", ".sha256", ".yaml", ".yml"),
)


Kind = Literal[
    "dangling link",
    "forbidden",
    "link to above",
    "marked directory",
    "not UTF-8",
    "not regular",
    "unreadable",
]


@dataclass(frozen=True)
class Problem:
    """Something in the tree that cannot be read, or that TensorBoard cannot cope with.

    Attributes:
        kind: what is wrong.
        path: the file or directory, absolute.
        run: the run that it belongs to, as `Directory.name`; None if it belongs to none.
        evidence: what was found out, as text and numbers for a message and for JSON.
    """

    kind: Kind
    path: str
    run: str | None
    evidence: dict[str, Any]


@dataclass
class Directory:
    """One directory of the tree.

    Attributes:
        path: absolute.
        name: as TensorBoard names the run: the path below the log directory, ``"."`` for itself.
        files: its event files in the order in which TensorBoard reads them.
        strays: files with the mark in their name that are no event files by their name.
        others: how many other files it holds.
    """

    path: str
    name: str
    files: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    others: int = 0


Progress = Callable[[int, int], None]
"""Called with the number of directories that were read, and of all."""


def counted(directories: list[Directory], progress: Progress | None) -> Iterator[Directory]:
    """Yield the directories; tell before each, and at the end, how many were read."""
    total = len(directories)
    for number, directory in enumerate(directories):
        if progress is not None:
            progress(number, total)
        yield directory
    if progress is not None:
        progress(total, total)


def walk(top: str, user: User) -> Iterator[Directory | Problem]:
    """Yield every directory at and below ``top``, and before each the problems in it.

    Links are followed, as TensorBoard does; a directory that two names lead to is visited once.
    ``user`` is the one who has to be able to read it all.
    """
    seen: set[tuple[int, int]] = set()
    stack: list[tuple[str, frozenset[tuple[int, int]]]] = [(top, frozenset())]
    while stack:
        path, above = stack.pop()
        name = os.path.relpath(path, top)
        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if identity in above:
                evidence = {"link": printable(path), "target": printable(os.path.realpath(path))}
                yield Problem("link to above", path, None, evidence)
                continue
            if identity in seen:
                continue
            if not user.may(os.R_OK | os.X_OK, status):
                yield _forbidden(path, name, user, status)
                continue
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            yield _unreadable(path, name, error)
            continue
        seen.add(identity)
        directory = Directory(path, name)
        below = above | {identity}
        children = []
        for entry in found:
            if printable(entry.name) != entry.name:
                yield _named("not UTF-8", entry.path, name)
            try:
                if entry.is_dir():
                    children.append((entry.path, below))
                    if MARK in entry.name:
                        yield _named("marked directory", entry.path, name)
                elif (problem := _take(entry, directory, user)) is not None:
                    yield problem
            except OSError as error:
                yield _unreadable(entry.path, name, error)
        yield directory
        stack.extend(reversed(children))


def _take(entry: os.DirEntry[str], directory: Directory, user: User) -> Problem | None:
    """Sort a file into its directory; return what is wrong with it instead."""
    if MARK not in entry.name:
        directory.others += 1
        return None
    status = entry.stat()
    if not stat.S_ISREG(status.st_mode):
        return _not_regular(entry.path, directory.name, status.st_mode)
    if not user.may(os.R_OK, status) or not os.access(entry.path, os.R_OK):
        return _forbidden(entry.path, directory.name, user, status)
    if entry.name.endswith(".profile-empty"):  # the profiler's mark, which both readers know
        directory.others += 1
    elif _is_stray(entry.path, status.st_size, directory.files):
        directory.strays.append(entry.path)
    else:
        directory.files.append(entry.path)
    return None


def _is_stray(path: str, size: int, files: list[str]) -> bool:
    """Whether a file is named like a copy or a lock of one of ``files``, or of one and is empty."""
    for ending in _STRAY_ENDINGS:
        if path.lower().endswith(ending):
            return size == 0 or path[: -len(ending)] in files
    return False


def _named(kind: Kind, path: str, run: str) -> Problem:
    return Problem(kind, path, run, {"name": printable(os.path.basename(path))})


def _not_regular(path: str, run: str, mode: int) -> Problem:
    kind = "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
    return Problem("not regular", path, run, {"kind": kind})


def _forbidden(path: str, run: str, user: User, status: os.stat_result) -> Problem:
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    evidence = {"user": user.name, "mode": mode, "owner": status.st_uid}
    return Problem("forbidden", path, run, evidence)


def _unreadable(path: str, run: str, error: OSError) -> Problem:
    if os.path.islink(path) and not os.path.exists(path):
        reason = f"a link to {printable(os.readlink(path))!r}, which does not exist"
        return Problem("dangling link", path, run, {"error": reason})
    return Problem("unreadable", path, run, {"error": error.strerror or str(error)})
