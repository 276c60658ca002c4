"""The directories that TensorBoard walks through, each once, and what lies in the way."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from safewriter.doctor._finding import Finding, printable
from safewriter.doctor._user import User

MARK = "tfevents"

# Endings that a copy, a lock or an editor puts behind a name. A writer may have been given such an
# ending too (filename_suffix), so it counts only beside the file that it is put behind.
_STRAY_ENDINGS = (
    *(".bak", ".backup", ".old", ".orig", ".save", ".copy", "~", ".swp", ".swo", ".tmp", ".temp"),
    *(".part", ".partial", ".crdownload", ".lock", ".lck", ".json", ".txt", ".csv", ".log", ".md5"),
    *(".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar", ".tgz", ".sha256", ".yaml", ".yml"),
)


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


def walk(top: str, user: User, findings: list[Finding]) -> Iterator[Directory]:
    """Yield every directory at and below ``top``; append to ``findings`` what is wrong with names.

    Links are followed, as TensorBoard does; a directory that two names lead to is visited once.
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
                findings.append(_loop(path))
                continue
            if identity in seen:
                continue
            if not user.may_search(status):
                findings.append(_forbidden(path, name, user))
                continue
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except OSError as error:
            findings.append(_unreadable(path, name, error))
            continue
        seen.add(identity)
        directory = Directory(path, name)
        below = above | {identity}
        children = []
        for entry in found:
            if not _is_utf8(entry.name):
                findings.append(_not_utf8(entry.path, name))
            try:
                if entry.is_dir():
                    children.append((entry.path, below))
                    if MARK in entry.name:
                        findings.append(_marked_directory(entry.path, name))
                else:
                    _file(entry, directory, user, findings)
            except OSError as error:
                findings.append(_unreadable(entry.path, name, error))
        yield directory
        stack.extend(reversed(children))


def _file(
    entry: os.DirEntry[str], directory: Directory, user: User, findings: list[Finding]
) -> None:
    if MARK not in entry.name:
        directory.others += 1
        return
    status = entry.stat()
    if not stat.S_ISREG(status.st_mode):
        findings.append(_not_regular(entry.path, directory.name, status.st_mode))
    elif not user.may_read(status) or not os.access(entry.path, os.R_OK):
        findings.append(_forbidden(entry.path, directory.name, user))
    elif entry.name.endswith(".profile-empty"):  # the profiler's mark, which both readers know
        directory.others += 1
    elif _is_stray(entry.path, status.st_size, directory.files):
        directory.strays.append(entry.path)
    else:
        directory.files.append(entry.path)


def _is_stray(path: str, size: int, files: list[str]) -> bool:
    """Whether a file is named like a copy or a lock of one of ``files``, or of one and is empty."""
    for ending in _STRAY_ENDINGS:
        if path.lower().endswith(ending):
            return size == 0 or path[: -len(ending)] in files
    return False


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _loop(path: str) -> Finding:
    target = os.path.realpath(path)
    return Finding(
        "SW504",
        f"{printable(path)!r} is a link to {printable(target)!r}, which holds it.",
        Path(path),
        evidence={"link": printable(path), "target": printable(target)},
    )


def _not_utf8(path: str, name: str) -> Finding:
    return Finding(
        "SW506",
        f"The name {printable(path)!r} is not valid UTF-8.",
        Path(path),
        name,
        {"name": printable(os.path.basename(path))},
    )


def _marked_directory(path: str, name: str) -> Finding:
    return Finding(
        "SW502",
        f"{printable(path)!r} is a directory, and TensorBoard's Python reader opens it as a file.",
        Path(path),
        name,
        {"name": printable(os.path.basename(path))},
    )


def _not_regular(path: str, name: str, mode: int) -> Finding:
    kind = "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"
    return Finding(
        "SW505",
        f"{printable(path)!r} is a {kind}, and TensorBoard opens it as an event file.",
        Path(path),
        name,
        {"kind": kind},
    )


def _forbidden(path: str, name: str, user: User) -> Finding:
    status = os.stat(path)
    return Finding(
        "SW503",
        f"{user.name} may not read {printable(path)!r}: mode {stat.S_IMODE(status.st_mode):04o},"
        f" user id {status.st_uid}.",
        Path(path),
        name,
        {"user": user.name, "mode": f"{stat.S_IMODE(status.st_mode):04o}", "owner": status.st_uid},
    )


def _unreadable(path: str, name: str, error: OSError) -> Finding:
    reason = error.strerror or str(error)
    dangling = os.path.islink(path) and not os.path.exists(path)
    if dangling:
        reason = f"a link to {printable(os.readlink(path))!r}, which does not exist"
    return Finding(
        "SW503",
        f"{printable(path)!r} cannot be read: {reason}.",
        Path(path),
        name,
        {"error": reason},
        cure="Delete the link." if dangling else "",
    )
